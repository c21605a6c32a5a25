"""Where another context begins, trust moves by what entity memory holds of the sources in both.

Invariant: while the context stays the same, nothing changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sage.memory.stores.entities import EntityMemory
from sage.runtime.trust.contract import TrustForm


class ContextTrust:
    """Follows the context of the loop.

    names: (N,) of the sources.  entities: is written elsewhere.  is_enabled: False, trust never moves.
    """

    def __init__(self, names: Sequence[str], entities: EntityMemory, *, is_enabled: bool = True) -> None:
        self._names = tuple(names)
        self._entities = entities
        self._is_enabled = is_enabled
        self._context = -1  # none yet
        self._left = np.ones((entities.num_contexts, len(self._names)))  # as in Judged.change_context

    def follow(self, context: int, trust: TrustForm) -> None:
        """Call once a tick, with the context of the tick: where it is another one, `trust` is moved."""
        before, self._context = self._context, context
        if before in (-1, context) or not self._is_enabled:
            return
        self._left[before] = trust.share
        expected = self._entities.expected
        trust.change_context(
            expected(self._names, before), expected(self._names, context), self._left[context]
        )

    def state(self) -> dict[str, np.ndarray]:
        """For a snapshot: the context that the trust saved with it belongs to, and what was left in each."""
        return {"context": np.array(self._context), "left": self._left.copy()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore it; no context for an empty state, or where there is another number of contexts now."""
        is_same = bool(state) and state["left"].shape == self._left.shape
        self._context = int(state["context"]) if is_same else -1
        self._left = state["left"].copy() if is_same else np.ones_like(self._left)
