"""Pinning by coherence: a source is pinned while its agreement with the other sources changes.

The change is the mean of the newer half of a window minus that of the older half. Invariant: a source whose
agreement is constant is never pinned.
"""

from __future__ import annotations

import numpy as np


class Pinning:
    """threshold: change from which a source is pinned, 0..1; it is released below half of that. 0: never.

    window: agreements that are compared, an even number.
    """

    def __init__(self, num_sources: int, *, window: int, threshold: float) -> None:
        self.pinned = np.zeros(num_sources, dtype=bool)
        self._threshold = threshold
        self._values = np.full((window, num_sources), np.nan)
        self._count = np.zeros(num_sources, dtype=np.int64)

    @property
    def is_enabled(self) -> bool:
        return self._threshold > 0

    def note(self, agreement: np.ndarray) -> np.ndarray:
        """Returns `pinned`. agreement: (N,) of this tick, 0..1, NaN for a source that was not judged."""
        if not self.is_enabled:
            return self.pinned
        length = len(self._values)
        judged = np.flatnonzero(np.isfinite(agreement))
        self._values[self._count[judged] % length, judged] = agreement[judged]
        self._count[judged] += 1
        full = judged[self._count[judged] >= length]
        if len(full):
            age = (self._count[full] - 1 - np.arange(length)[:, None]) % length  # (W, n), 0 for the newest
            values = self._values[:, full]
            newer = (values * (age < length // 2)).sum(axis=0) / (length // 2)
            older = (values * (age >= length // 2)).sum(axis=0) / (length - length // 2)
            change = np.abs(newer - older)
            limit = np.where(self.pinned[full], self._threshold / 2, self._threshold)
            self.pinned[full] = change > limit
        return self.pinned
