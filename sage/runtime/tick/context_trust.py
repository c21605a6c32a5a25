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

    def follow(self, context: int, trust: TrustForm) -> None:
        """Call once a tick, with the context of the tick: where it is another one, `trust` is moved."""
        before, self._context = self._context, context
        if before in (-1, context) or not self._is_enabled:
            return
        expected = self._entities.expected
        trust.change_context(expected(self._names, before), expected(self._names, context))

    def state(self) -> dict[str, np.ndarray]:
        """For a snapshot: the context that the trust saved with it belongs to."""
        return {"context": np.array(self._context)}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore it; no context for an empty state, or where there are fewer contexts now."""
        context = int(state["context"]) if state else -1
        self._context = context if context < self._entities.num_contexts else -1
