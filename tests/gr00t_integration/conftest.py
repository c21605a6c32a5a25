"""Observations of shipped embodiments, small, with random content."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sage.gr00t_integration.embodiment import Embodiment, load_embodiment
from sage.gr00t_integration.observation import Observation

Observe = Callable[..., Observation]


@pytest.fixture
def so100() -> Embodiment:
    return load_embodiment("so100")


@pytest.fixture
def observe() -> Observe:
    """Makes an observation of an embodiment, with images of 6 x 8 pixels."""

    def make(embodiment: Embodiment, batch_size: int = 1, seed: int = 0) -> Observation:
        random = np.random.default_rng(seed)
        frames, states = len(embodiment.video.delta_indices), len(embodiment.state.delta_indices)
        return Observation(
            video={
                view: random.integers(0, 256, (batch_size, frames, 6, 8, 3), dtype=np.uint8)
                for view in embodiment.video.views
            },
            state={
                name: random.standard_normal((batch_size, states, dim), dtype=np.float32)
                for name, dim in embodiment.state.dims.items()
            },
            language={embodiment.language: [["pick up the cube"]] * batch_size},
        )

    return make
