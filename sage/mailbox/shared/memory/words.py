"""Operations on words of shared memory by address, in plain Python; the protocols are written with them.

Invariant: each function has a compiled version of the same name in `atomics`, which compiled kernels call
instead. In Python they are correct only under one lock that all users of the memory take (or in a test that
steps them).
"""

from __future__ import annotations

import ctypes
import time

_word = ctypes.c_int64.from_address


def load_relaxed(address: int) -> int:
    return _word(address).value


def load_acquire(address: int) -> int:
    """No later load or store is done before it."""
    return _word(address).value


def store_relaxed(address: int, value: int) -> None:
    _word(address).value = value


def store_release(address: int, value: int) -> None:
    """All earlier stores are visible to a thread that acquires the stored value."""
    _word(address).value = value


def swap_if(address: int, expected: int, desired: int) -> int:
    """Compare and swap; returns the previous word (equal to `expected` if it was stored)."""
    word = _word(address)
    found = word.value
    if found == expected:
        word.value = desired
    return found


def add(address: int, amount: int) -> int:
    """Fetch and add; returns the previous word."""
    word = _word(address)
    found = word.value
    word.value = found + amount
    return found


def fence_acquire() -> None:
    """No earlier load is done after a later load or store."""


def fence_release() -> None:
    """No earlier load or store is done after a later store."""


def fence_full() -> None:
    """Both of these, and no earlier store is done after a later load."""


def copy_bytes(target: int, source: int, num_bytes: int) -> None:
    ctypes.memmove(target, source, num_bytes)


def zero_bytes(target: int, num_bytes: int) -> None:
    ctypes.memset(target, 0, num_bytes)


def pause() -> None:
    """Called between two reads of one word in a spin loop."""


def monotonic_ns() -> int:
    """CLOCK_MONOTONIC in nanoseconds."""
    return time.monotonic_ns()
