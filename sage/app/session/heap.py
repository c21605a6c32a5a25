"""Memory of snapshots and nights goes back to the system (glibc's malloc).

A snapshot and a night take copies of everything for a moment. By default glibc takes such blocks from the
heap: it raises the size from which blocks have pages of their own to that of the largest block freed so far,
up to 32 MiB. Small blocks that stay are then placed in what the copies leave, the next copies need new
memory, and resident memory grows for days although no more of it is in use (mallopt(3), M_MMAP_THRESHOLD).
"""

from __future__ import annotations

import ctypes
from typing import Any

#: From this size a block has pages of its own. So much free memory at the end of the heap stays in it.
LARGE_BYTES, KEPT_BYTES = 128 << 10, 16 << 20
#: Of malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def map_large_blocks(num_bytes: int = LARGE_BYTES) -> bool:
    """Give blocks of `num_bytes` or more pages of their own, in this process, from now on. False where the
    C library has no such setting; nothing changes there.
    """
    mallopt = _function("mallopt")
    if mallopt is None:
        return False
    is_set = bool(mallopt(_M_MMAP_THRESHOLD, num_bytes))
    return bool(mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)) and is_set


def give_back_freed() -> bool:
    """Give whole free pages of all heaps back (malloc_trim(3)); whether there were any. False where the C
    library has no such function. It takes a millisecond or two, in which other threads wait for memory.
    """
    trim = _function("malloc_trim")
    return trim is not None and bool(trim(0))


def _function(name: str) -> Any:
    """Of the C library; None where it has none of that name."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
