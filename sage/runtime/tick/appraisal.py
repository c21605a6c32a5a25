"""How unusual each source's record is, from the records alone, before a tensor is read.

Invariant: the cost does not depend on the size of a reading.
"""

from __future__ import annotations

import numpy as np

FORGETTING = 0.98
NUM_MAX = 34


class Appraisal:
    """Running mean and variance of every source's record summary (N, F)."""

    def __init__(self, num_sources: int, num_features: int = NUM_MAX) -> None:
        self._mean = np.zeros((num_sources, num_features))
        self._variance = np.zeros((num_sources, num_features))
        self._num_seen = np.zeros(num_sources)

    def novelty(self, summary: np.ndarray, fresh: np.ndarray) -> np.ndarray:
        """(N,) in 0..1: 1 - exp(-d^2 / 2), d the root mean squared deviation of the record in running
        deviations.

        NaN for sources without a fresh record or with fewer than 8 so far.
        """
        deviation = np.where(fresh[:, None], summary - self._mean, 0.0)
        square = deviation**2
        known = self._variance > 1e-12 * (1 + self._mean**2)
        ratio = np.where(known, square / np.where(known, self._variance, 1.0), 0.0)
        distance = ratio.mean(axis=1)
        novelty = np.where(fresh & (self._num_seen >= 8), 1 - np.exp(-distance / 2), np.nan)
        self._num_seen += fresh
        step = np.where(fresh, np.maximum(1 - FORGETTING, 1 / np.maximum(self._num_seen, 1)), 0.0)[:, None]
        self._mean += step * deviation
        self._variance = (1 - step) * (self._variance + step * square)
        return novelty
