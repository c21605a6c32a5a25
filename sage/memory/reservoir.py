"""Which of a stream to keep: a weighted random reservoir, shared fairly between contexts.

Invariant: within one context the kept are those with the largest keys ever offered while its share did not grow
(Efraimidis and Spirakis 2006, A-Res), so an item is kept in proportion to its weight.
"""

from __future__ import annotations

import numpy as np

from sage.memory.store_state import StoreState


class WeightedReservoir:
    """Keys and contexts of `capacity` slots; what is in the slots is the owner's.

    When full, a context at or above its equal share competes within itself; one below takes the slot of the
    smallest key of the context that holds most.
    """

    def __init__(self, capacity: int, seed: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}: give 1 slot or more")
        self.capacity = capacity
        self.num_seen = 0
        self._keys = np.zeros(capacity, np.float64)
        self._contexts = np.zeros(capacity, np.int64)
        self._num_used = 0
        self._generator = np.random.default_rng(seed)

    def __len__(self) -> int:
        """Slots in use; they are the first ones."""
        return self._num_used

    @property
    def contexts(self) -> np.ndarray:
        """Context of each slot in use, a view."""
        return self._contexts[: self._num_used]

    def offer(self, weight: float, context: int) -> int | None:
        """The slot to write the offered item into, or None when it is not kept. ValueError unless weight > 0."""
        if not 0.0 < weight < np.inf:
            raise ValueError(f"weight is {weight}: give a finite number above 0")
        self.num_seen += 1
        # log(u) / w orders as u^(1/w) does, and does not underflow.
        key = -self._generator.standard_exponential() / weight
        slot = self._slot_for(key, context)
        if slot is not None:
            self._keys[slot] = key
            self._contexts[slot] = context
        return slot

    def _slot_for(self, key: float, context: int) -> int | None:
        if self._num_used < self.capacity:
            self._num_used += 1
            return self._num_used - 1
        labels, counts = np.unique(self._contexts, return_counts=True)
        is_own = labels == context
        num_own = int(counts[is_own].sum())
        num_contexts = len(labels) + (num_own == 0)
        largest = int(counts.argmax())
        if num_own < self.capacity // num_contexts and counts[largest] > max(num_own, 1):
            return self._smallest_key_of(self._contexts == labels[largest])
        # More contexts than slots leave a newcomer nobody to compete with but all.
        rivals = self._contexts == context if num_own else np.ones(self.capacity, bool)
        slot = self._smallest_key_of(rivals)
        return slot if key > self._keys[slot] else None

    def _smallest_key_of(self, is_candidate: np.ndarray) -> int:
        return int(np.where(is_candidate, self._keys, np.inf).argmin())

    def state(self) -> StoreState:
        return StoreState(
            geometry={"capacity": self.capacity},
            scalars={"num_seen": self.num_seen, "num_used": self._num_used, "generator": self._generator.bit_generator.state},
            arrays={"keys": self._keys[: self._num_used], "contexts": self.contexts},
        )

    def restore(self, state: StoreState) -> None:
        self.num_seen = int(state.scalars["num_seen"])
        self._num_used = int(state.scalars["num_used"])
        self._keys[: self._num_used] = state.arrays["keys"]
        self._contexts[: self._num_used] = state.arrays["contexts"]
        self._generator.bit_generator.state = state.scalars["generator"]
