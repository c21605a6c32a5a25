"""What a reading is worth: how recent it is, and how fast its source leaves its prediction.

A source whose error grows by s a tick and that is read with frequency f has a mean error of s / (2 f); the
sum over all sources is least where f is proportional to sqrt(s) (Cauchy-Schwarz), which is the value here.
"""

from __future__ import annotations

import numpy as np

RATE = 0.1  # of the running mean of a source's growth


class ErrorGrowth:
    """value: (N,) square root of the running mean of squared error a tick of waiting; 1 before the first."""

    def __init__(self, num_sources: int) -> None:
        self._mean = np.full(num_sources, np.nan)

    @property
    def value(self) -> np.ndarray:
        """Sources without an error yet have the mean of the others."""
        known = np.isfinite(self._mean)
        fallback = float(self._mean[known].mean()) if known.any() else 1.0
        return np.sqrt(np.where(known, self._mean, fallback))

    def note(self, error: np.ndarray, waited: np.ndarray) -> None:
        """error: (N,) squared error of this tick's scored prediction, NaN without one.  waited: (N,) ticks
        since the reading before.
        """
        scored = np.isfinite(error)
        growth = np.minimum(np.where(scored, error, 0.0), 1e12) / np.maximum(waited, 1)
        started = np.where(np.isfinite(self._mean), self._mean, growth)
        self._mean = np.where(scored, (1 - RATE) * started + RATE * growth, self._mean)


def recency(age_ns: np.ndarray, period_ns: np.ndarray) -> np.ndarray:
    """1 within two periods of the source, then halved with each further period; 0 where age < 0 (no
    reading).
    """
    late = np.maximum(age_ns / period_ns - 2.0, 0.0)
    return np.where(age_ns < 0, 0.0, 0.5 ** np.minimum(late, 60.0))
