"""Results of solving: the answer, its cost and its confidence. Imports no torch.

Invariant: an abstention carries no answer; an answer that is_verified was accepted by the task's own rules.
Shapes: N puzzles, L cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

#: How solving ended.  solved: the rules accept the answer.  halted: the Q head ended it, unverified.
#: budget: segments, calls or seconds ran out without a verified answer.  abstained: the same, and the answer
#: is withheld.  diverged: the model's output was not finite.  no_solution: a search closed every node by the
#: rules.
Outcome = Literal["solved", "halted", "abstained", "budget", "diverged", "no_solution"]


def confidence_of(q: np.ndarray | float) -> np.ndarray:
    """sigmoid(q) in fp64, 0..1: the Q head's probability that an answer is exact."""
    sure: np.ndarray = 1.0 / (1.0 + np.exp(-np.clip(np.asarray(q, np.float64), -60.0, 60.0)))
    return sure


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTrace:
    """calls: of the model, the plain try included; budget: at most so many.  nodes: partial answers made, the
    puzzle included.  depth: most choices of a node that the model read.  width: nodes read together.
    guesses: (cell, symbol) of the choices that led to the answer, in order; none where a try gave it."""

    calls: int
    budget: int
    nodes: int
    depth: int
    width: int
    guesses: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """cells: (L,) int32, all 0 in an abstention.  num_segments: of the try, or the node of the search, that
    gave the answer.
    num_segments_spent: of all tries and nodes.  attempt: which try, from 0; the number of tries for an answer
    of the search.  is_halted_early: it ended before max_segments.
    confidence: the Q head's probability that the answer is exact, 0..1; it stays beside is_verified, unmixed.
    outcome: how it ended.  trace: of the search, None where none was made."""

    cells: np.ndarray
    is_verified: bool
    is_abstained: bool
    is_halted_early: bool
    num_segments: int
    num_segments_spent: int
    attempt: int
    confidence: float
    outcome: Outcome
    trace: SearchTrace | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Solutions:
    """The same for N puzzles: answers (N, L) int32, outcome and trace N each, the rest (N,)."""

    answers: np.ndarray
    is_verified: np.ndarray
    is_abstained: np.ndarray
    is_halted_early: np.ndarray
    num_segments: np.ndarray
    num_segments_spent: np.ndarray
    attempt: np.ndarray
    confidence: np.ndarray
    outcome: tuple[Outcome, ...]
    trace: tuple[SearchTrace | None, ...]

    def __len__(self) -> int:
        return len(self.answers)

    def __getitem__(self, row: int) -> Solution:
        return Solution(
            cells=self.answers[row],
            is_verified=bool(self.is_verified[row]),
            is_abstained=bool(self.is_abstained[row]),
            is_halted_early=bool(self.is_halted_early[row]),
            num_segments=int(self.num_segments[row]),
            num_segments_spent=int(self.num_segments_spent[row]),
            attempt=int(self.attempt[row]),
            confidence=float(self.confidence[row]),
            outcome=self.outcome[row],
            trace=self.trace[row],
        )

    def __iter__(self) -> Iterator[Solution]:
        return (self[row] for row in range(len(self)))

    @classmethod
    def stack(cls, solutions: Sequence[Solution], num_cells: int) -> Solutions:
        return cls(
            answers=np.array([each.cells for each in solutions], dtype=np.int32).reshape(
                len(solutions), num_cells
            ),
            is_verified=np.array([each.is_verified for each in solutions], dtype=bool),
            is_abstained=np.array([each.is_abstained for each in solutions], dtype=bool),
            is_halted_early=np.array([each.is_halted_early for each in solutions], dtype=bool),
            num_segments=np.array([each.num_segments for each in solutions], dtype=np.int64),
            num_segments_spent=np.array([each.num_segments_spent for each in solutions], dtype=np.int64),
            attempt=np.array([each.attempt for each in solutions], dtype=np.int64),
            confidence=np.array([each.confidence for each in solutions], dtype=np.float64),
            outcome=tuple(each.outcome for each in solutions),
            trace=tuple(each.trace for each in solutions),
        )
