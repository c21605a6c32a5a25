"""An effector that does nothing but remember: for tests, dry runs, and a loop that has nothing to move yet.

Invariant: what it says was done is finite and within -1..1, whatever was asked.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from sage.errors import InputError
from sage.sensors.config import EffectorConfig
from sage.sensors.contract import Action, EffectorSpec, SensorContext, SensorError


class RecordingConfig(EffectorConfig):
    """capacity: how many of the latest acts are kept."""

    kind: Literal["recording"] = "recording"
    effect: str = Field("record", min_length=1)
    capacity: int = Field(1024, ge=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAct:
    """What was asked for, and what came of it."""

    asked: tuple[float, ...]
    done: Action


class RecordingEffector:
    """Keeps the last `capacity` acts. After `abort` it holds until it is opened again."""

    Config = RecordingConfig

    def __init__(self, config: RecordingConfig, context: SensorContext) -> None:
        self._spec = EffectorSpec(
            name=config.name, effect=config.effect, target=config.target, size=config.size
        )
        self._acts: deque[RecordedAct] = deque(maxlen=config.capacity)
        self._position = (0.0,) * config.size
        self._is_open = False
        self._is_held = False

    @property
    def spec(self) -> EffectorSpec:
        return self._spec

    @property
    def acts(self) -> tuple[RecordedAct, ...]:
        """Oldest first."""
        return tuple(self._acts)

    def open(self) -> None:
        self._is_open = True
        self._is_held = False

    def apply(self, values: np.ndarray, stamp_ns: int) -> Action:
        """Values out of -1..1 are clamped and said to be limited; NaN or infinity is not done at all: held
        where it was.
        """
        if not self._is_open:
            raise SensorError(f"{self._spec.name}: apply while closed: call open() first")
        if values.shape != (self._spec.size,):
            raise InputError(
                f"{self._spec.name}: values have shape {values.shape}: give ({self._spec.size},)"
            )
        asked = tuple(float(value) for value in values)
        action = self._act(asked, stamp_ns)
        self._position = action.values
        self._acts.append(RecordedAct(asked=asked, done=action))
        return action

    def abort(self) -> None:
        self._is_held = True

    def close(self) -> None:
        self._is_open = False

    def _act(self, asked: tuple[float, ...], stamp_ns: int) -> Action:
        if self._is_held or not np.isfinite(asked).all():
            return Action(values=self._position, stamp_ns=stamp_ns, is_held=True)
        done = tuple(min(1.0, max(-1.0, value)) for value in asked)
        return Action(values=done, stamp_ns=stamp_ns, is_limited=done != asked)
