"""One puzzle in progress: its tries, and the one that gives the answer.

Invariant: tries begin in order, and the answer is that of the first try the verifier accepts, else of the one
with the
highest q, the earlier of equals: which of them ended first never matters.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.solving.solutions import Solution, confidence_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A try that has ended: cells (L,) int32; q: the halt head's value before the sigmoid."""

    number: int
    cells: np.ndarray
    q: float
    is_verified: bool
    num_segments: int

    def beats(self, other: Attempt | None) -> bool:
        if other is None or self.is_verified != other.is_verified:
            return other is None or self.is_verified
        if self.is_verified or self.q == other.q:
            return self.number < other.number
        return self.q > other.q


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """cells: (L,) int32.  seed: of its noise.  live: tries in progress.  best: of the tries that have
    ended.
    """

    serial: int
    cells: np.ndarray
    puzzle_id: int
    settings: SolveSettings
    seed: int
    num_started: int = 0
    num_segments_spent: int = 0
    live: set[int] = field(default_factory=set)
    best: Attempt | None = None

    @property
    def has_more(self) -> bool:
        """Whether there is a try left that could change the answer."""
        return self.num_started < self.settings.tries and not (self.best and self.best.is_verified)

    @property
    def is_settled(self) -> bool:
        return not self.live and not self.has_more

    def start(self) -> int:
        self.live.add(self.num_started)
        self.num_started += 1
        return self.num_started - 1

    def end(self, attempt: Attempt) -> None:
        """Record a try's answer; if it is verified, later tries are dropped."""
        self.live.discard(attempt.number)
        if attempt.beats(self.best):
            self.best = attempt
        if attempt.is_verified:
            self.live = {number for number in self.live if number < attempt.number}

    def solution(self) -> Solution:
        assert self.best is not None
        best, is_abstained = self.best, self.settings.abstains and not self.best.is_verified
        return Solution(
            cells=np.zeros_like(best.cells) if is_abstained else best.cells,
            is_verified=best.is_verified,
            is_abstained=is_abstained,
            is_halted_early=best.num_segments < self.settings.max_segments,
            num_segments=best.num_segments,
            num_segments_spent=self.num_segments_spent,
            attempt=best.number,
            confidence=float(confidence_of(best.q)),
        )
