"""A small model with a Q head that speaks, and puzzles for it. Untrained: what is tested is what is done with
it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM


@pytest.fixture
def build_solver_model() -> Callable[..., HRM]:
    """Of 4x4 sudoku's shape; some rows halt early, each after its own number of segments."""

    def build(*, seed: int = 0, **changes: object) -> HRM:
        front = TokenFront(vocab_size=6, seq_len=16, positions="learned")
        model = HRM(
            ModelConfig.preset("tiny", front=front, **changes), generator=torch.Generator().manual_seed(seed)
        )
        with torch.no_grad():
            model.inner.q_head.weight.normal_(generator=torch.Generator().manual_seed(seed))
            model.inner.q_head.bias.fill_(-4.0)
        return model.eval()

    return build


class SumVerifier:
    """Accepts an answer whose sum, with its puzzle's, is a multiple of `divisor`: about one in so many."""

    def __init__(self, divisor: int) -> None:
        self.divisor, self.num_asked = divisor, 0

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        self.num_asked += len(inputs)
        sums = inputs.sum(axis=1, dtype=np.int64) + answers.sum(axis=1, dtype=np.int64)
        accepted: np.ndarray = sums % self.divisor == 0
        return accepted


@pytest.fixture
def build_verifier() -> Callable[[int], SumVerifier]:
    return SumVerifier


@pytest.fixture(scope="session")
def puzzles() -> np.ndarray:
    """(24, 16) cells in 1..5."""
    return np.random.default_rng(0).integers(1, 6, (24, 16), dtype=np.int32)
