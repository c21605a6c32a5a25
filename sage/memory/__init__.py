"""Floor 2: salience, recent ticks (L-memory), long-term stores (H-memory) and their snapshots.

Invariant: every store has a fixed capacity, and two runs with one seed store the same. The public names
load on first use: importing this package loads no torch.
"""

from typing import TYPE_CHECKING

from sage.lazy import lazy_face

if TYPE_CHECKING:
    from sage.memory.salience import Salience
    from sage.memory.sensor import MemorySensor
    from sage.memory.stores.hmemory import Experience, HMemory
    from sage.memory.stores.recall import RecallStore
    from sage.memory.stores.replay import ReplayStore

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "Experience": "sage.memory.stores.hmemory",
        "HMemory": "sage.memory.stores.hmemory",
        "MemorySensor": "sage.memory.sensor",
        "RecallStore": "sage.memory.stores.recall",
        "ReplayStore": "sage.memory.stores.replay",
        "Salience": "sage.memory.salience",
    },
)

__all__ = ["Experience", "HMemory", "MemorySensor", "RecallStore", "ReplayStore", "Salience"]
