"""The state of a store in a snapshot: geometry, scalars, arrays.

Invariant: a state is restored only to a store of equal geometry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sage.memory.stores.origins import Origins


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreState:
    """geometry: sizes fixed at construction.  scalars: JSON values.  arrays: the slots in use."""

    geometry: Mapping[str, int | float | str]
    scalars: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]


class Snapshotted(Protocol):
    """A store with a state. Its arrays have one row a slot; origins: of the slots."""

    @property
    def origins(self) -> Origins: ...

    def state(self) -> StoreState:
        """Everything that the store needs to continue identically. Arrays may be views."""
        ...

    def restore(self, state: StoreState) -> None:
        """Replace the content by `state`. The caller has compared the geometry."""
        ...
