"""What sleep trains on: experiences kept at random, by weight and balanced over contexts.

Invariant: a surprising experience is likelier to be kept, never certain to be: keeping the most surprising
outright fills the store with noise (COGNITION measured 0.183 against 0.905 accuracy at 15% wrong labels).
"""

from __future__ import annotations

import math

import numpy as np
import torch

from sage.errors import InputError
from sage.memory.stores.reservoir import WeightedReservoir
from sage.memory.stores.state import StoreState
from sage.memory.windows.window import Window, WindowShape, WindowSlots

#: Weight of an experience that surprised nobody: it is still kept now and then.
FLOOR_WEIGHT = 0.05


def replay_weight(surprise: float, trust: float) -> float:
    """w = surprise x trust + 0.05, both 0..1: trust says whether the surprise can be learned away. NaN counts
    as 0.
    """
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

    def __len__(self) -> int:
        return len(self._reservoir)

    @property
    def capacity(self) -> int:
        return self._slots.capacity

    @property
    def num_seen(self) -> int:
        return self._reservoir.num_seen

    @property
    def num_bytes(self) -> int:
        return self._slots.num_bytes

    @property
    def contexts(self) -> np.ndarray:
        """Context of each kept experience, a view."""
        return self._reservoir.contexts

    @property
    def times_ns(self) -> np.ndarray:
        """Time of each kept experience, a view."""
        return self._times_ns[: len(self)]

    def consider(self, window: Window, weight: float, context: int, time_ns: int) -> bool:
        """Offer one experience (B = 1); True when it was kept, copied. InputError unless weight > 0."""
        slot = self._reservoir.offer(weight, context)
        if slot is None:
            return False
        self._slots.put(slot, window)
        self._weights[slot] = weight
        self._times_ns[slot] = time_ns
        return True

    def sample(self, num: int, generator: torch.Generator) -> Window:
        """`num` experiences, as many from each context as can be, drawn with replacement within it (B = num).

        The weights decided what is here; they are not applied a second time. InputError when the store is
        empty.
        """
        if len(self) == 0:
            raise InputError("the replay store is empty: consider experiences before sampling")
        by_context = [np.flatnonzero(self.contexts == label) for label in np.unique(self.contexts)]
        order = torch.randperm(len(by_context), generator=generator).numpy()
        uniform = torch.rand(num, generator=generator, dtype=torch.float64).numpy()
        turns = (by_context[order[i % len(order)]] for i in range(num))
        return self._slots.gather(np.array([slots[int(u * len(slots))] for slots, u in zip(turns, uniform)]))

    def all(self) -> Window | None:
        """Every kept experience (B = len(self)), copied; None when there is none."""
        return self._slots.gather(np.arange(len(self))) if len(self) else None

    def shift_times(self, by_ns: int) -> None:
        """Move the past on the time axis, when a new run counts from its own start."""
        self._times_ns += by_ns

    def state(self) -> StoreState:
        own = self._reservoir.state()
        arrays = {
            "weights": self._weights[: len(self)],
            "times_ns": self.times_ns,
            **self._slots.arrays(len(self)),
        }
        return StoreState(
            geometry=self._slots.geometry(), scalars=own.scalars, arrays={**own.arrays, **arrays}
        )

    def restore(self, state: StoreState) -> None:
        self._reservoir.restore(state)
        self._weights[: len(self)] = state.arrays["weights"]
        self._times_ns[: len(self)] = state.arrays["times_ns"]
        self._slots.load(state.arrays, len(self))
