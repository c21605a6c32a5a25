"""How contexts share the slots of a full store: a frequent context does not replace a rare one.

Invariant: a context with enough offers holds at least its equal share of the slots.
"""

from __future__ import annotations

import numpy as np


class ContextShares:
    """The context of each of `capacity` slots, and how many slots each context has. Slots fill from the
    first.
    """

    def __init__(self, capacity: int) -> None:
        self._contexts = np.zeros(capacity, np.int64)
        self._counts: dict[int, int] = {}  # only contexts with a slot: at most `capacity`
        self._num_used = 0

    def __len__(self) -> int:
        """Slots in use."""
        return self._num_used

    @property
    def contexts(self) -> np.ndarray:
        """Context of each slot in use, a view."""
        return self._contexts[: self._num_used]

    def move(self, slot: int, context: int) -> None:
        """Assign `slot`, in use or the next free one, to `context`."""
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
        """In a full store: the slots that an item of `context` may replace, (capacity,) bool, and whether it
        must.

        Below its equal share, a context replaces an item of the largest context, always. At its share or
        above it competes with its own items. With more contexts than slots, a new context competes with all.
        """
        num_own = self._counts.get(context, 0)
        share = len(self._contexts) // (len(self._counts) + (num_own == 0))
        largest = max(self._counts, key=lambda label: (self._counts[label], label))
        if num_own < share and self._counts[largest] > max(num_own, 1):
            return self._contexts == largest, True
        return (self._contexts == context if num_own else np.ones(len(self._contexts), bool)), False

    def load(self, contexts: np.ndarray) -> None:
        """Restore the contexts of the slots in use."""
        self._num_used = len(contexts)
        self._contexts[: len(contexts)] = contexts
        labels, counts = np.unique(contexts, return_counts=True)
        self._counts = dict(zip(labels.tolist(), counts.tolist()))
