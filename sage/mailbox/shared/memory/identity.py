"""Identity of a process that owns shared memory, distinct from a later process with the same pid.

Invariant: an identity is one positive 64-bit word (start time, pid), so that it is stored at once and never
refers to another process.
"""

from __future__ import annotations

import ctypes
import os
import signal
from functools import cache

_PID_BITS = 22  # the kernel's limit: pid_max is at most 2^22
_PID_MASK = (1 << _PID_BITS) - 1
_ENDED = ("Z", "X", "x")
_PR_SET_PDEATHSIG = 1

_my_identity = 0


def my_identity() -> int:
    """This process's identity: start time in clock ticks since boot, above the bits of the pid."""
    global _my_identity
    if not _my_identity:
        found = identity_of(os.getpid())
        assert found is not None, "this process has no /proc entry"
        _my_identity = found
    return _my_identity


def identity_of(pid: int) -> int | None:
    """The identity of a running process; None if there is none (a zombie has ended)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read().decode("ascii", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()  # the name in brackets may contain any character
    if fields[0] in _ENDED and int(fields[17]) <= 1:  # the first thread may end before the others
        return None
    return int(fields[19]) << _PID_BITS | pid


def pid_of(identity: int) -> int:
    return identity & _PID_MASK


def is_alive(identity: int) -> bool:
    """A stopped process is alive. A killed one is dead once its memory is freed, even before its parent reaps
    it.
    """
    return identity == _my_identity or identity_of(pid_of(identity)) == identity


def end_with(parent: int) -> None:
    """Let the kernel kill this process when the one that started it dies; end it now if that one is dead.

    parent: its identity. The order leaves no gap: a death after the first call kills, one before it is seen.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if not is_alive(parent):
        os._exit(0)


@cache
def pid_namespace() -> int:
    """Pids are unique within one namespace only."""
    return os.stat("/proc/self/ns/pid").st_ino


def _forget() -> None:
    global _my_identity
    _my_identity = 0
    pid_namespace.cache_clear()


os.register_at_fork(after_in_child=_forget)
