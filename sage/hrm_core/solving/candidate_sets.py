"""Candidate sets of one puzzle on the host: the state of a node or a chain of learned deduction.

Invariant: a given cell has one candidate, its own symbol.
Shapes: L cells, K interchangeable symbols.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sage.hrm_core.config.model import ModelConfig, TokenFront

#: Probabilities are compared after rounding: of equal ones, the rounding of a matrix product picks none.
DECIMALS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateSets:
    """first: the first interchangeable symbol.  num: of them, K."""

    first: int
    num: int

    @classmethod
    def of(cls, config: ModelConfig) -> CandidateSets | None:
        """None for a model without deduction heads."""
        if config.heads == "answer":
            return None
        front = config.front
        assert isinstance(front, TokenFront)
        assert front.alike_from is not None
        return cls(first=front.alike_from, num=front.tokens_per_cell)

    def start(self, inputs: np.ndarray) -> np.ndarray:
        """(..., L, K) bool for cells (..., L): all of a blank cell, its own of a given one."""
        symbols = self.first + np.arange(self.num)
        cells = inputs[..., None]
        bits: np.ndarray = (cells < self.first) | (cells == symbols)
        return bits

    def after_kills(
        self, candidates: np.ndarray, keep: np.ndarray, inputs: np.ndarray, below: float
    ) -> np.ndarray:
        """(L, K) without the candidates of a keep probability under `below`; keep (L, K): its logits."""
        p = (1.0 / (1.0 + np.exp(-keep.astype(np.float64)))).round(DECIMALS)
        bits: np.ndarray = candidates & ((p >= below) | (inputs >= self.first)[:, None])
        return bits

    def pinned(self, candidates: np.ndarray, cell: int, symbol: int) -> np.ndarray:
        """(L, K) with one candidate in `cell`."""
        bits = candidates.copy()
        bits[cell] = np.arange(self.num) == symbol - self.first
        return bits

    def is_decided(self, candidates: np.ndarray) -> bool:
        return bool((candidates.sum(axis=1) == 1).all())

    def is_empty(self, candidates: np.ndarray) -> bool:
        """Whether a cell has no candidate."""
        return not bool(candidates.any(axis=1).all())

    def symbols(self, candidates: np.ndarray) -> np.ndarray:
        """(L,) int32: the first candidate of each cell."""
        cells: np.ndarray = (self.first + candidates.argmax(axis=1)).astype(np.int32)
        return cells
