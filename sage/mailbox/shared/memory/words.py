"""Words of shared memory by address, in plain Python: what the protocols are written against.

Invariant: each function has a compiled twin of the same name in `atomics`, and a kernel that calls these is
translated to those. As Python they are right only under one lock for all who use the memory (or in a test
that steps them).
"""

from __future__ import annotations

import ctypes

_word = ctypes.c_int64.from_address


def load_relaxed(address: int) -> int:
    return _word(address).value


def load_acquire(address: int) -> int:
    """Nothing behind it is read or written before it."""
    return _word(address).value


def store_relaxed(address: int, value: int) -> None:
    _word(address).value = value


def store_release(address: int, value: int) -> None:
    """Everything before it is seen by whoever sees it."""
    _word(address).value = value


def swap_if(address: int, expected: int, desired: int) -> int:
    """Compare and swap: the word found there before (equal to `expected` = it was done)."""
    word = _word(address)
    found = word.value
    if found == expected:
        word.value = desired
    return found


def add(address: int, amount: int) -> int:
    """Fetch and add: the word found there before."""
    word = _word(address)
    found = word.value
    word.value = found + amount
    return found


def fence_acquire() -> None:
    """No load before it is done after a load or store behind it."""


def fence_release() -> None:
    """No load or store before it is done after a store behind it."""


def fence_full() -> None:
    """No store before it is done after a load behind it either."""


def copy_bytes(target: int, source: int, num_bytes: int) -> None:
    ctypes.memmove(target, source, num_bytes)


def zero_bytes(target: int, num_bytes: int) -> None:
    ctypes.memset(target, 0, num_bytes)


def pause() -> None:
    """Between two looks at the same word."""
