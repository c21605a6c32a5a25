"""A minimal task for tests and first trials of a trainer.

Invariant: the answer is the puzzle in reverse order, so a model must move symbols to other positions.
"""

from __future__ import annotations

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.contract import Examples, TaskSpec


class MirrorTask:
    """Reverse a row of symbols. Training rows have an even sum, held-out rows an odd sum."""

    def __init__(self, *, seq_len: int = 6, num_symbols: int = 4) -> None:
        if num_symbols < 2 or num_symbols % 2:
            raise InputError(
                f"num_symbols is {num_symbols}: give an even number, the last cell makes the sum even or odd"
            )
        self.spec = TaskSpec(name="mirror", vocab_size=num_symbols, seq_len=seq_len)

    def sample(self, num: int, rng: np.random.Generator) -> Examples:
        return self._examples(num, rng, parity=0)

    def held_out(self, num: int) -> Examples:
        return self._examples(num, np.random.default_rng(5), parity=1)

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        return np.asarray((answers == inputs[:, ::-1]).all(1))

    def _examples(self, num: int, rng: np.random.Generator, *, parity: int) -> Examples:
        inputs = rng.integers(0, self.spec.vocab_size, (num, self.spec.seq_len)).astype(np.int32)
        inputs[:, -1] = inputs[:, -1] // 2 * 2 + (inputs[:, :-1].sum(1) + parity) % 2
        labels = inputs[:, ::-1].copy()
        return Examples(inputs=inputs, labels=labels, puzzle_ids=np.full(num, -1, np.int32))
