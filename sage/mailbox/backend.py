"""Where a mailbox's bytes live: the seam between its logic and its memory.

A backend is an allocator and a fence. Invariant: memory it gave out stays valid for as long as anything
refers to the array it returned, closed mailbox or not.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

ALIGNMENT_BYTES = 128


class Fence(Protocol):
    """The end of a consumer's work on a slot, which may come after its release (a stream that still reads)."""

    def is_passed(self) -> bool:
        """True once the memory may be written again. Never blocks."""
        ...


class Backend(Protocol):
    """Allocator and fence; the state machine, the queues and the rules are the same on all of them."""

    @property
    def name(self) -> str: ...

    def allocate(self, num_bytes: int) -> np.ndarray:
        """(num_bytes,) uint8, zeroed, its first byte aligned to ALIGNMENT_BYTES."""
        ...

    def fence(self) -> Fence | None:
        """Marks what the calling consumer has queued so far; None when nothing can be outstanding."""
        ...


class HostBackend:
    """This process's own memory. Work on it is done when the call returns, so there is never a fence to wait for."""

    name = "host"

    def allocate(self, num_bytes: int) -> np.ndarray:
        memory = np.zeros(num_bytes + ALIGNMENT_BYTES, dtype=np.uint8)
        offset = -memory.ctypes.data % ALIGNMENT_BYTES
        return memory[offset : offset + num_bytes]

    def fence(self) -> Fence | None:
        return None
