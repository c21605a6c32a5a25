"""What a store hands to a snapshot and takes back: its geometry, its scalars, its arrays.

Invariant: a state belongs to a store of equal geometry; restoring it anywhere else is refused before anything
changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreState:
    """geometry: sizes fixed at construction.  scalars: ready for JSON.  arrays: only the slots in use, so
    bytes are bounded.
    """

    geometry: Mapping[str, int | float | str]
    scalars: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]


class Snapshotted(Protocol):
    """A store that can be written down and read back."""

    def state(self) -> StoreState:
        """Everything needed to go on as if nothing had happened. Arrays may be views: write them before the
        next change.
        """
        ...

    def restore(self, state: StoreState) -> None:
        """Take `state` over. The caller has compared the geometry."""
        ...
