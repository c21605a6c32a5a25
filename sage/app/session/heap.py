"""Memory that the allocator keeps for itself, given back to the system.

A snapshot takes copies of everything for a moment, and a night takes more. Small blocks that stay are placed
in what they leave, so that the next snapshot needs new memory, and resident memory grows for days although no
more of it is in use. Freed pages anywhere in the heap go back by malloc_trim(3), since glibc 2.8.
"""

from __future__ import annotations

import ctypes


def give_back_freed() -> bool:
    """Give whole free pages of all heaps back; whether there were any. False where the C library has no such
    function. It takes a millisecond or two, in which other threads wait for memory.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # another C library
        return False
    return bool(trim(0))
