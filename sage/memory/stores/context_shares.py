"""How contexts share the slots of a full store, so that a rare situation is not flooded out by a common one.

Invariant: a context that offered enough holds at least its equal share of the slots, whatever the others
offer.
"""

from __future__ import annotations

import numpy as np


class ContextShares:
    """Which context each of `capacity` slots belongs to, and how many each context holds. Slots fill from the
    first.
    """

    def __init__(self, capacity: int) -> None:
        self._contexts = np.zeros(capacity, np.int64)
        self._counts: dict[int, int] = {}  # only contexts that hold a slot: bounded by the capacity
        self._num_used = 0

    def __len__(self) -> int:
        """Slots in use."""
        return self._num_used

    @property
    def contexts(self) -> np.ndarray:
        """Context of each slot in use, a view."""
        return self._contexts[: self._num_used]

    def move(self, slot: int, context: int) -> None:
        """`slot`, in use or the next free one, belongs to `context` from now on."""
        if slot == self._num_used:
            self._num_used += 1
        else:
            before = int(self._contexts[slot])
            self._counts[before] -= 1
            if self._counts[before] == 0:
                del self._counts[before]
        self._contexts[slot] = context
        self._counts[context] = self._counts.get(context, 0) + 1

    def rivals(self, context: int) -> tuple[np.ndarray, bool]:
        """In a full store: the slots that one more of `context` may take, (capacity,) bool, and whether one
        must yield.

        Below its equal share it takes from the context that holds most, without a contest. At or above it, it
        contends with its own. With more contexts than slots a newcomer contends with all.
        """
        num_own = self._counts.get(context, 0)
        share = len(self._contexts) // (len(self._counts) + (num_own == 0))
        largest = max(self._counts, key=lambda label: (self._counts[label], label))
        if num_own < share and self._counts[largest] > max(num_own, 1):
            return self._contexts == largest, True
        return (self._contexts == context if num_own else np.ones(len(self._contexts), bool)), False

    def load(self, contexts: np.ndarray) -> None:
        """Take over the contexts of the slots in use."""
        self._num_used = len(contexts)
        self._contexts[: len(contexts)] = contexts
        labels, counts = np.unique(contexts, return_counts=True)
        self._counts = dict(zip(labels.tolist(), counts.tolist()))
