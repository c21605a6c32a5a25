"""Streams and small models for the tests: sources that share one hidden phase, so that each tells of the
others.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from sage.hrm_core.config.model import ModelConfig, ObservationFront
from sage.hrm_core.observation.loss import ObservationWindow
from sage.hrm_core.observation.model import ObservationModel

SOURCE_DIMS = (3, 1, 2)


@pytest.fixture
def build_model() -> Callable[..., ObservationModel]:
    """A model of three sources; `speaks` fills its heads, which start at 0 and say nothing."""

    def build(*, seed: int = 0, speaks: bool = False, **changes: object) -> ObservationModel:
        front = ObservationFront(source_dims=SOURCE_DIMS, num_actions=2)
        settings = {"hidden_size": 32, "mlp_multiple": 32, **changes}
        generator = torch.Generator().manual_seed(seed)
        model = ObservationModel(ModelConfig.preset("loop", front=front, **settings), generator=generator)
        if speaks:
            with torch.no_grad():
                for head in (model.head_weight, model.readout_weight, model.cross_weight):
                    head.normal_(std=0.1, generator=generator)
        return model

    return build


@pytest.fixture
def phase_window() -> Callable[..., ObservationWindow]:
    """Six sinusoids of one phase, random start and speed in each row; no reward, no linear skip."""

    def draw(
        model: ObservationModel, *, num_rows: int = 8, num_ticks: int = 8, seed: int = 0
    ) -> ObservationWindow:
        generator = torch.Generator().manual_seed(seed)
        start = torch.rand(num_rows, 1, 1, generator=generator) * 6.28
        speed = 0.3 + 0.3 * torch.rand(num_rows, 1, 1, generator=generator)
        ticks = torch.arange(-1.0, num_ticks + 1)[None, :, None]
        values = 1.4 * torch.sin(start + speed * ticks + torch.arange(6.0))  # (B, T + 2, C)
        yes = torch.ones(num_rows, num_ticks + 1, len(SOURCE_DIMS), dtype=torch.bool)
        zero = torch.zeros(num_rows, num_ticks + 1, 6)
        carry = model.initial_carry(num_rows)
        return ObservationWindow(
            values=values[:, 1:],
            deltas=values.diff(dim=1),
            skip=zero,
            cross=zero,
            present=yes,
            fresh=yes,
            age_secs=torch.zeros(yes.shape),
            weight=torch.ones(yes.shape),
            action=torch.zeros(num_rows, num_ticks + 1, 2),
            reward=torch.full((num_rows, num_ticks + 1), torch.nan),
            z_H=carry.z_H,
            z_L=carry.z_L,
        )

    return draw
