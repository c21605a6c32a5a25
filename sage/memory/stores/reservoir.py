"""A weighted random reservoir over a stream, shared between contexts.

Invariant: within a context, while its share does not grow, the items with the largest keys stay (Efraimidis
and Spirakis 2006, A-Res), so an item stays with a probability in proportion to its weight.
"""

from __future__ import annotations

import numpy as np

from sage.errors import InputError
from sage.memory.stores.context_shares import ContextShares
from sage.memory.stores.state import StoreState


class WeightedReservoir:
    """Keys and contexts of `capacity` slots; the caller stores the items.

    When full, ContextShares decides which slots an item may replace; the smallest key among them is replaced.
    """

    def __init__(self, capacity: int, seed: int) -> None:
        if capacity < 1:
            raise InputError(f"capacity is {capacity}: give 1 slot or more")
        self.capacity = capacity
        self.num_seen = 0
        self._keys = np.zeros(capacity, np.float64)
        self._shares = ContextShares(capacity)
        self._generator = np.random.default_rng(seed)

    def __len__(self) -> int:
        """Slots in use, which are the first ones."""
        return len(self._shares)

    @property
    def contexts(self) -> np.ndarray:
        """Context of each slot in use, a view."""
        return self._shares.contexts

    def offer(self, weight: float, context: int) -> int | None:
        """The slot to write the offered item to, None when it is rejected. InputError unless weight > 0."""
        if not 0.0 < weight < np.inf:
            raise InputError(f"weight is {weight}: give a finite number above 0")
        self.num_seen += 1
        # log(u) / w has the order of u^(1/w) and does not underflow.
        key = -self._generator.standard_exponential() / weight
        slot = self._slot_for(key, context)
        if slot is not None:
            self._keys[slot] = key
            self._shares.move(slot, context)
        return slot

    def _slot_for(self, key: float, context: int) -> int | None:
        if len(self) < self.capacity:
            return len(self)
        is_rival, must_yield = self._shares.rivals(context)
        slot = int(np.where(is_rival, self._keys, np.inf).argmin())
        return slot if must_yield or key > self._keys[slot] else None

    def state(self) -> StoreState:
        return StoreState(
            geometry={"capacity": self.capacity},
            scalars={"num_seen": self.num_seen, "generator": self._generator.bit_generator.state},
            arrays={"keys": self._keys[: len(self)], "contexts": self.contexts},
        )

    def restore(self, state: StoreState) -> None:
        self.num_seen = int(state.scalars["num_seen"])
        self._shares.load(state.arrays["contexts"])
        self._keys[: len(self)] = state.arrays["keys"]
        self._generator.bit_generator.state = state.scalars["generator"]
