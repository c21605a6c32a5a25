"""Made-up lives, small and deterministic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from sage.memory.windows.transitions import Frame, TransitionRing
from sage.memory.windows.window import Window, WindowShape

NUM_CHANNELS, NUM_SOURCES, NUM_ACTIONS, CARRY_SHAPE, LENGTH = 3, 2, 1, (2, 4), 4
TICK_NS = 50_000_000


@pytest.fixture
def shape() -> WindowShape:
    return WindowShape(
        num_channels=NUM_CHANNELS,
        num_sources=NUM_SOURCES,
        num_actions=NUM_ACTIONS,
        carry_shape=CARRY_SHAPE,
        length=LENGTH,
    )


@pytest.fixture
def live() -> Callable[..., Window]:
    """A window whose every number is `mark`, started at `start_ns`."""

    def lived(mark: float = 0.0, *, start_ns: int = 0, length: int = LENGTH) -> Window:
        def full(*size: int) -> torch.Tensor:
            return torch.full((1, length + 1, *size), float(mark))

        return Window(
            values=full(NUM_CHANNELS),
            deltas=full(NUM_CHANNELS),
            skip=full(NUM_CHANNELS),
            cross=full(NUM_CHANNELS),
            present=full(NUM_SOURCES) >= 0,
            fresh=full(NUM_SOURCES) >= 0,
            age_secs=full(NUM_SOURCES),
            weight=full(NUM_SOURCES),
            action=full(NUM_ACTIONS),
            reward=full(),
            z_H=torch.full((1, *CARRY_SHAPE), float(mark)),
            z_L=torch.full((1, *CARRY_SHAPE), float(mark)),
            start_tick=torch.tensor([int(mark)]),
            start_time_ns=torch.tensor([start_ns]),
        )

    return lived


@pytest.fixture
def ring() -> TransitionRing:
    return TransitionRing(32, NUM_CHANNELS, NUM_SOURCES, NUM_ACTIONS, CARRY_SHAPE, carry_every=4)


@pytest.fixture
def tick_into() -> Callable[..., None]:
    """Append a frame whose numbers, and whose carry, tell its tick."""

    def append(ring: TransitionRing, tick: int, *, reset: float = 0.0) -> None:
        frame = Frame(
            values=np.full(NUM_CHANNELS, tick, np.float32),
            deltas=np.full(NUM_CHANNELS, 0.5, np.float32),
            skip=np.full(NUM_CHANNELS, -0.5, np.float32),
            cross=np.full(NUM_CHANNELS, 0.25, np.float32),
            present=np.array([True, tick % 2 == 0]),
            fresh=np.array([tick % 3 == 0, True]),
            age_secs=np.array([0.1, 0.2], np.float32),
            weight=np.array([0.7, 0.3], np.float32),
            action=np.array([np.nan], np.float32),
            reward=float(tick),
            time_ns=tick * TICK_NS,
            tick=tick,
            reset=reset,
        )
        ring.append(
            frame, torch.full((1, *CARRY_SHAPE), float(tick)), torch.full((1, *CARRY_SHAPE), -float(tick))
        )

    return append
