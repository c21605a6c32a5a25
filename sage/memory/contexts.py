"""Contexts found online: clusters of keys, at most a fixed number, so that stores can share their slots.

Invariant: constant size; a context keeps its number, also over a snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sage.errors import DataError, InputError

#: A key whose cosine to every centre is lower begins a new context, while there are free ones.
MIN_SIMILARITY = 0.5
#: A centre moves towards a key by 1 / its keys, at least by this share, so that it follows slow drift.
MIN_STEP = 0.005


class OnlineContexts:
    """Leader clustering (Hartigan 1975) of unit keys (key_dim,) with moving centres. InputError for sizes
    under 1.
    """

    def __init__(self, num_contexts: int, key_dim: int) -> None:
        if min(num_contexts, key_dim) < 1:
            raise InputError(f"num_contexts is {num_contexts}, key_dim {key_dim}: give each 1 or more")
        self._centres = np.zeros((num_contexts, key_dim))
        self._counts = np.zeros(num_contexts, np.int64)
        self._num_used = 0

    def __len__(self) -> int:
        """Contexts found so far."""
        return self._num_used

    def assign(self, key: np.ndarray) -> int:
        """The context of a key, which moves its centre; 0 for a key that is zero or not finite."""
        if len(self._centres) == 1:
            return 0
        length = float(np.sqrt(key.dot(key)))
        if not 0.0 < length < np.inf:
            return 0
        unit = key / length
        similarity = self._centres[: self._num_used].dot(unit)
        if self._num_used < len(self._centres) and similarity.max(initial=-1.0) < MIN_SIMILARITY:
            nearest = self._num_used
            self._num_used += 1
        else:
            nearest = int(similarity.argmax())
        self._counts[nearest] += 1
        step = max(1.0 / float(self._counts[nearest]), MIN_STEP)
        centre = self._centres[nearest] + step * (unit - self._centres[nearest])
        self._centres[nearest] = centre / max(float(np.sqrt(centre.dot(centre))), 1e-12)
        return nearest

    def state(self) -> dict[str, np.ndarray]:
        """For a snapshot."""
        return {
            "centres": self._centres[: self._num_used].copy(),
            "counts": self._counts[: self._num_used].copy(),
        }

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore the centres; of more than there are contexts, the first ones. An empty state changes
        nothing. DataError for keys of another size.
        """
        if not state:
            return
        centres, counts = state["centres"], state["counts"]
        if centres.shape[1:] != self._centres.shape[1:]:
            raise DataError(
                f"contexts: centres of {centres.shape[1:]}, {self._centres.shape[1:]} are needed: damaged"
            )
        self._num_used = min(len(centres), len(self._centres))
        self._centres[: self._num_used] = centres[: self._num_used]
        self._counts[: self._num_used] = counts[: self._num_used]
