"""Which sources repeat one reading while others move: a measurement with noise does not stand still.

The rule is that of `trust/steps.py`: a run of equal readings that is improbable for this source, by its own
share of repeats, and longer than its healthy runs. Invariant: a source that moves is not stuck.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sage.runtime.trust.rules import (
    LONG_RUN,
    LONGEST_FORGETTING,
    MAX_RUN,
    MIN_MOVES,
    MIN_RUN,
    REPEAT_FORGETTING,
    REPEAT_ODDS,
)


class Repeats:
    """Of N sources with M numbers. is_stuck: (N,) bool."""

    def __init__(self, num_sources: int, num_rows: int) -> None:
        self.is_stuck = np.zeros(num_sources, dtype=bool)
        self._last = np.full((num_sources, num_rows), np.nan)
        self._counts = np.full((2, num_sources), [[1.0], [3.0]])  # Beta(1, 3) on "a healthy reading repeats"
        self._longest = np.zeros(num_sources)
        self._run = np.zeros(num_sources)

    def update(self, readings: np.ndarray, fresh: np.ndarray) -> None:
        """readings: (N, M).  fresh: (N,) bool, sources with a new one; the others do not change."""
        is_equal = np.logical_and.reduce(readings == self._last, axis=1)
        moved, repeated = fresh & ~is_equal, fresh & is_equal
        self._last[fresh] = readings[fresh]
        ended = np.where(moved, np.minimum(self._run, MAX_RUN), 0.0)
        self._longest = np.where(moved, np.maximum(LONGEST_FORGETTING * self._longest, ended), self._longest)
        counted = REPEAT_FORGETTING * self._counts + np.stack([ended, np.ones_like(ended)])
        self._counts = np.where(moved, counted, self._counts)
        self._run = np.where(moved, 0.0, self._run + repeated)
        self.is_stuck = self.is_stuck & ~moved
        if moved.any() and repeated.any():
            rate = self._counts[0] / self._counts.sum(axis=0)
            is_long = self._run > MIN_RUN + LONG_RUN * self._longest
            is_known = self._counts[1] > MIN_MOVES
            self.is_stuck = self.is_stuck | (repeated & is_known & is_long & (rate**self._run < REPEAT_ODDS))

    def learned(self) -> dict[str, np.ndarray]:
        """Copies of what a snapshot contains: (2, N) counts and (N,) longest runs."""
        return {"repeats": self._counts.copy(), "longest_run": self._longest.copy()}

    def load_learned(self, learned: Mapping[str, np.ndarray]) -> None:
        """Restore what `learned` returned, for the same sources."""
        self._counts = np.array(learned["repeats"], dtype=float)
        self._longest = np.array(learned["longest_run"], dtype=float)
