"""Which sources change together with the others, so that the others may contradict them.

A level can be explained by accident: two that wander, as memory in use and the time since a start, are
correlated over any stretch. Changes over a few readings are not. Invariant: a source without a fresh reading
does not change.
"""

from __future__ import annotations

import numpy as np

LAG = 8  # readings over which a change is taken
MIN_TIED = 0.5  # share of the variance of a source's changes that the others must explain
FORGETTING = 0.998
WARMUP = 48  # changes seen before a source is tied
MIN_WEIGHT = 0.05  # of the learning rate, for a source of trust 0


class Ties:
    """Running means of the cube roots of squared changes, of readings and of innovations: heavy tails have
    little weight in them.

    offsets: (N + 1,) channel range of each source.
    """

    def __init__(self, offsets: np.ndarray) -> None:
        self._first = np.asarray(offsets)[:-1]
        self._sizes = np.diff(offsets)
        self._source = np.repeat(np.arange(len(self._sizes)), self._sizes)
        self._ring = np.zeros((2, LAG, int(offsets[-1])))  # readings, innovations
        self._num = np.zeros(len(self._sizes), dtype=np.int64)
        self._moments = np.zeros((2, len(self._sizes)))

    @property
    def is_tied(self) -> np.ndarray:
        """(N,) bool."""
        explained: np.ndarray = self._moments[1] < np.cbrt(1 - MIN_TIED) * self._moments[0]
        return explained & (self._num >= WARMUP + LAG)

    def update(self, fresh: np.ndarray, values: np.ndarray, estimate: np.ndarray, trust: np.ndarray) -> None:
        """Learn from the fresh readings. fresh (N,) bool: new, with an estimate.  values, estimate: (C,), in
        one unit from call to call.  trust: (N,) 0..1.
        """
        slot = (self._num % LAG)[self._source]
        channels = np.arange(len(slot))
        now = np.stack([values, values - estimate])
        change = now - self._ring[:, slot, channels]
        self._ring[:, slot, channels] = np.where(fresh[self._source], now, self._ring[:, slot, channels])
        square = np.add.reduceat(change**2, self._first, axis=1) / self._sizes
        learned = np.maximum(self._num - LAG + 1, 1)
        rate = np.maximum(1 - FORGETTING, 1 / learned) * np.maximum(trust**2, MIN_WEIGHT)
        rate = np.where(fresh & (self._num >= LAG), rate, 0.0)
        self._moments += rate * (np.cbrt(square) - self._moments)
        self._num += fresh

    def state(self) -> dict[str, np.ndarray]:
        """Copies of what a snapshot contains."""
        return {"ring": self._ring.copy(), "num": self._num.copy(), "moments": self._moments.copy()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Restore what `state` returned; an empty one, of an older snapshot, leaves nothing tied yet."""
        if state:
            self._ring, self._moments = state["ring"].copy(), state["moments"].copy()
            self._num = state["num"].copy()
