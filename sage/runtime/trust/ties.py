"""Which sources change together with the others, so that the others may contradict them.

A level can be explained by accident: two that wander, as memory in use and the time since a start, are
correlated over any stretch. Changes over a few readings are not. Roots and sums over channels are left to
numpy; the rest runs compiled where numba is installed, and as Python elsewhere. Invariant: a source without a
fresh reading does not change.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from sage.compiled import has_compiler, kernel

LAG = 8  # readings over which a change is taken
MIN_TIED = 0.5  # share of the variance of a source's changes that the others must explain
FORGETTING = 0.998
MOST_LEFT = np.cbrt(1 - MIN_TIED)
WARMUP = 48  # changes seen before a source is tied
MIN_WEIGHT = 0.05  # of the learning rate, for a source of trust 0


class Ties:
    """Running means of the cube roots of squared changes, of readings and of innovations: heavy tails have
    little weight in them.

    offsets: (N + 1,) channel range of each source.  is_compiled: None uses numba where it is installed.
    """

    def __init__(self, offsets: np.ndarray, *, is_compiled: bool | None = None) -> None:
        self._offsets = np.asarray(offsets, dtype=np.int64)
        self._first = self._offsets[:-1]
        self._sizes = np.diff(self._offsets)
        self._ring = np.zeros((2, LAG, int(offsets[-1])))  # readings, innovations
        self._square = np.zeros((2, int(offsets[-1])))
        self._num = np.zeros(len(self._sizes), dtype=np.int64)
        self._moments = np.zeros((2, len(self._sizes)))
        self._is_compiled = has_compiler() if is_compiled is None else is_compiled
        if self._is_compiled:
            none, nothing = np.zeros(len(self._sizes), dtype=bool), np.zeros(int(offsets[-1]))
            self.update(none, nothing, nothing, np.zeros(len(self._sizes)))  # compiles now, not in a tick

    @property
    def is_tied(self) -> np.ndarray:
        """(N,) bool."""
        explained: np.ndarray = self._moments[1] < MOST_LEFT * self._moments[0]
        return explained & (self._num >= WARMUP + LAG)

    def update(self, fresh: np.ndarray, values: np.ndarray, estimate: np.ndarray, trust: np.ndarray) -> None:
        """Learn from the fresh readings. fresh (N,) bool: new, with an estimate.  values, estimate: (C,), in
        one unit from call to call.  trust: (N,) 0..1.
        """
        turned, learned = _compiled() if self._is_compiled else (turn, learn)
        turned(fresh, values, estimate, self._offsets, self._num, self._ring, self._square)
        square = np.add.reduceat(self._square, self._first, axis=1)
        square /= self._sizes
        learned(fresh, trust, np.cbrt(square, out=square), self._num, self._moments)

    def state(self) -> dict[str, np.ndarray]:
        """Copies of what a snapshot contains."""
        return {"ring": self._ring.copy(), "num": self._num.copy(), "moments": self._moments.copy()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Restore what `state` returned; an empty one, of an older snapshot, leaves nothing tied yet."""
        if state:
            self._ring, self._moments = state["ring"].copy(), state["moments"].copy()
            self._num = state["num"].copy()


def turn(
    fresh: np.ndarray,
    values: np.ndarray,
    estimate: np.ndarray,
    offsets: np.ndarray,
    num: np.ndarray,
    ring: np.ndarray,
    square: np.ndarray,
) -> None:
    """square: (2, C) gets the squared changes over LAG readings, of readings and of innovations. The fresh
    ones take the place of the oldest.
    """
    for source in range(len(fresh)):
        slot = num[source] % len(ring[0])
        for channel in range(offsets[source], offsets[source + 1]):
            value = values[channel]
            innovation = value - estimate[channel]
            change, other = value - ring[0, slot, channel], innovation - ring[1, slot, channel]
            square[0, channel], square[1, channel] = change * change, other * other
            if fresh[source]:
                ring[0, slot, channel], ring[1, slot, channel] = value, innovation


def learn(
    fresh: np.ndarray, trust: np.ndarray, root: np.ndarray, num: np.ndarray, moments: np.ndarray
) -> None:
    """Move the running means towards the cube roots (2, N), and count the fresh readings."""
    for source in range(len(fresh)):
        if not fresh[source]:
            continue
        if num[source] >= LAG:
            own = max(trust[source] * trust[source], MIN_WEIGHT)
            rate = max(1 - FORGETTING, 1 / (num[source] - LAG + 1)) * own
            for row in range(2):
                moments[row, source] += rate * (root[row, source] - moments[row, source])
        num[source] += 1


@cache
def _compiled() -> tuple[Any, Any]:
    return kernel(turn), kernel(learn)
