"""Sleeping on a 32-bit word of shared memory until another process changes it (futex(2)).

Invariant: a wait always ends, releases the GIL and can be interrupted by Ctrl-C. Waking keeps the GIL,
because getting it back can take 5 ms.
"""

from __future__ import annotations

import ctypes
import platform

SYSCALL = {"x86_64": 202, "aarch64": 98}.get(platform.machine(), -1)
WAIT, WAKE, ALL_WAITERS = 0, 1, 2**31 - 1


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


_wait = ctypes.CDLL(None).syscall
_wait.argtypes = [ctypes.c_long, ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32, ctypes.POINTER(_Timespec)]
_wake = ctypes.PyDLL(None).syscall
_wake.argtypes = [ctypes.c_long, ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]


def wait(address: int, seen: int, timeout_secs: float) -> None:
    """Sleep while the word is `seen`, at most `timeout_secs`. May return early: check the condition again."""
    whole, part = divmod(max(timeout_secs, 0.0), 1.0)
    _wait(SYSCALL, address, WAIT, seen, _Timespec(int(whole), int(part * 1e9)))


def wake(address: int) -> None:
    """Wake all waiters on the word. Change the word first."""
    _wake(SYSCALL, address, WAKE, ALL_WAITERS)


def is_supported() -> bool:
    return SYSCALL > 0
