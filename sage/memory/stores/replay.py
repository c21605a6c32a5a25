"""The experiences that sleep trains on: a random sample, weighted and balanced over contexts.

Invariant: a surprising experience has a higher probability to stay, never certainty: a store of the most
surprising ones fills with noise (COGNITION.md: accuracy 0.183 instead of 0.905 at 15% wrong labels).
"""

from __future__ import annotations

import math

import numpy as np
import torch

from sage.memory.stores.origins import UNKNOWN, Origin, Origins
from sage.memory.stores.reservoir import WeightedReservoir
from sage.memory.stores.state import StoreState
from sage.memory.windows.window import Window, WindowShape, WindowSlots

#: Weight of an experience without surprise.
FLOOR_WEIGHT = 0.05


def replay_weight(surprise: float, trust: float) -> float:
    """surprise x trust + 0.05, both 0..1: only trusted surprise can be learned. NaN counts as 0."""
    product = surprise * trust
    return FLOOR_WEIGHT + (min(max(product, 0.0), 1.0) if math.isfinite(product) else 0.0)


class ReplayStore:
    """At most `capacity` windows of one shape, a weighted reservoir stratified over contexts."""

    def __init__(
        self, capacity: int, shape: WindowShape, *, seed: int, carry_dtype: torch.dtype = torch.float32
    ) -> None:
        self._slots = WindowSlots(capacity, shape, carry_dtype=carry_dtype)
        self._reservoir = WeightedReservoir(capacity, seed)
        self._weights = np.zeros(capacity, np.float32)
        self._times_ns = np.zeros(capacity, np.int64)
        self.origins = Origins(capacity)

    def __len__(self) -> int:
        return len(self._reservoir)

    @property
    def capacity(self) -> int:
        return self._slots.capacity

    @property
    def num_seen(self) -> int:
        return self._reservoir.num_seen

    @property
    def contexts(self) -> np.ndarray:
        """Context of each experience in the store, a view."""
        return self._reservoir.contexts

    @property
    def times_ns(self) -> np.ndarray:
        """Time of each experience in the store, in ns since the run's start, a view."""
        return self._times_ns[: len(self)]

    def consider(
        self, window: Window, weight: float, context: int, time_ns: int, origin: Origin = UNKNOWN
    ) -> bool:
        """Offer one experience (B = 1); True when the store copied it. InputError unless weight > 0."""
        slot = self._reservoir.offer(weight, context)
        if slot is None:
            return False
        self._slots.put(slot, window)
        self._weights[slot] = weight
        self._times_ns[slot] = time_ns
        self.origins.put(slot, origin)
        return True

    def all(self) -> Window | None:
        """All experiences (B = len(self)), copied; None when the store is empty."""
        return self._slots.gather(np.arange(len(self))) if len(self) else None

    def shift_times(self, by_ns: int) -> None:
        """Add `by_ns` to every time: a new run counts from its own start."""
        self._times_ns += by_ns
        self.origins.shift_times(by_ns)

    def state(self) -> StoreState:
        own = self._reservoir.state()
        arrays = {
            "weights": self._weights[: len(self)],
            "times_ns": self.times_ns,
            **self._slots.arrays(len(self)),
            **self.origins.arrays(len(self)),
        }
        return StoreState(
            geometry=self._slots.geometry(),
            scalars={**own.scalars, **self.origins.newest()},
            arrays={**own.arrays, **arrays},
        )

    def restore(self, state: StoreState) -> None:
        self._reservoir.restore(state)
        self._weights[: len(self)] = state.arrays["weights"]
        self._times_ns[: len(self)] = state.arrays["times_ns"]
        self._slots.load(state.arrays, len(self))
        self.origins.load(state.arrays, self.times_ns, state.scalars)
