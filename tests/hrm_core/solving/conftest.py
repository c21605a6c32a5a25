"""A small model with a Q head that speaks, and puzzles for it. Untrained: what is tested is what is done with
it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM, TokenBatch
from sage.hrm_core.model.recurrence import Carry, Output


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


class FakeModel:
    """Logits and conflict by functions of each row's inputs alone, without a matrix product: bits are equal
    whatever the batch. inputs_seen: of every row of every segment.
    """

    def __init__(
        self,
        logits_of: Callable[[np.ndarray], np.ndarray],
        *,
        num_cells: int,
        num_symbols: int,
        conflict_of: Callable[[np.ndarray], float] | None = None,
    ) -> None:
        self.config = ModelConfig.preset(
            "tiny", front=TokenFront(vocab_size=num_symbols, seq_len=num_cells, positions="learned")
        )
        self.inputs_seen: list[np.ndarray] = []
        self._logits_of = logits_of
        self._conflict_of = conflict_of

    def initial_carry(self, batch_size: int) -> Carry:
        return Carry(z_H=torch.zeros(batch_size, 1, 1), z_L=torch.zeros(batch_size, 1, 1))

    def segment(self, carry: Carry, batch: TokenBatch) -> tuple[Carry, Output]:
        rows = batch.inputs.numpy()
        self.inputs_seen += list(rows.copy())
        logits = torch.from_numpy(np.stack([self._logits_of(row) for row in rows]).astype(np.float32))
        output = Output(logits=logits, q_halt=logits.sum((1, 2)).fmod(1.0) - 4.0)
        if self._conflict_of is not None:
            conflict = torch.tensor([self._conflict_of(row) for row in rows])
            output = dataclasses.replace(output, conflict=conflict)
        return carry, output

    def wants_halt(self, output: Output) -> Tensor:
        assert output.q_halt is not None
        return output.q_halt > 0


@pytest.fixture
def build_fake_model() -> Callable[..., FakeModel]:
    return FakeModel


def random_logits(num_symbols: int) -> Callable[[np.ndarray], np.ndarray]:
    """(L, V) drawn anew for each row's content."""

    def logits_of(row: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng(np.ascontiguousarray(row, np.int64).astype(np.uint32))
        return rng.normal(size=(len(row), num_symbols))

    return logits_of


@pytest.fixture
def build_random_logits() -> Callable[[int], Callable[[np.ndarray], np.ndarray]]:
    return random_logits
