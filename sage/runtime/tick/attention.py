"""Which sources get full attention this tick: the best K by score, with hysteresis.

Score = trust x quality x recency x (1 + salience) (COGNITION.md, Scheduling). Invariant: a source that
delivers is attended at least once in 4 N / K + 1 ticks, whatever its score.
"""

from __future__ import annotations

import math

import numpy as np

from sage.runtime.config import AttentionConfig


class Attention:
    """Chooses among N sources; stores how long each has waited and which were chosen last."""

    def __init__(self, num_sources: int, config: AttentionConfig) -> None:
        self._config = config
        self._waited = np.zeros(num_sources, dtype=np.int64)
        self._was_chosen = np.zeros(num_sources, dtype=bool)
        self._max_wait = 2 * math.ceil(num_sources / config.top_k)

    def choose(self, score: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """(N,) bool: at most top_k of the `candidates` (N,) bool. score: (N,) >= 0."""
        chosen = np.zeros(len(score), dtype=bool)
        if np.count_nonzero(candidates) <= self._config.top_k:
            chosen |= candidates
        else:
            chosen[self._best(score, candidates)] = True
        self._waited = np.where(candidates & ~chosen, self._waited + 1, 0)
        self._was_chosen = chosen
        return chosen

    def _best(self, score: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        mean = float(score[candidates].mean()) or 1.0
        rank = (
            score * (1 + self._config.hysteresis * self._was_chosen)
            + self._config.age_boost * mean * self._waited
        )
        rank = np.where(self._waited >= self._max_wait, np.inf, rank)  # overdue sources come first
        rank[~candidates] = -1.0
        order = np.lexsort((-self._waited, -rank))  # by rank, then by the time waited
        return order[: self._config.top_k]


def recency(age_ns: np.ndarray, period_ns: np.ndarray) -> np.ndarray:
    """1 within two periods of the source, then halved with each further period; 0 where age < 0 (no
    reading).
    """
    late = np.maximum(age_ns / period_ns - 2.0, 0.0)
    return np.where(age_ns < 0, 0.0, 0.5 ** np.minimum(late, 60.0))
