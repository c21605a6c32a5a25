"""Puzzles that come from files: two sets, read once, kept apart.

Invariant: no puzzle of the evaluation set is in training, also not under a symmetry: those that were are left
out of training, counted in `num_left_out`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.contract import Examples


class Loaded(ABC):
    """A task whose puzzles were given. Its rules say how one may be moved, and which are the same."""

    def __init__(self, train: Examples, dev: Examples) -> None:
        is_shared = (
            np.isin(self.keys(train), self.keys(dev))
            if len(train) and len(dev)
            else np.zeros(len(train), bool)
        )
        self.num_left_out = int(is_shared.sum())
        self.train, self.dev = train.take(~is_shared), dev

    @abstractmethod
    def keys(self, examples: Examples) -> np.ndarray:
        """(N,) equal for puzzles that must not be on both sides."""

    @abstractmethod
    def transform(self, examples: Examples, rng: np.random.Generator) -> Examples: ...

    def sample(self, num: int, rng: np.random.Generator) -> Examples:
        if not len(self.train):
            raise InputError("there are no training puzzles: give a training file, or only evaluate")
        return self.transform(self.train.take(rng.integers(0, len(self.train), size=num)), rng)

    def held_out(self, num: int) -> Examples:
        return self.dev.take(slice(num))
