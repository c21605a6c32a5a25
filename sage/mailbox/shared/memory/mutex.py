"""A lock in shared memory that its owner's death opens (pthread_mutex, process-shared and robust).

Invariant: who gets it knows whether the last owner died inside, and what it protects must then be repaired,
or be such that every single store leaves it whole. A stopped owner is waited for; a dead one never.
"""

from __future__ import annotations

import ctypes
import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sage.mailbox.errors import MailboxError

#: 40 bytes on x86-64, 48 on aarch64 (glibc, musl); a cache line holds both.
BYTES = 64
_PROCESS_SHARED, _ROBUST = 1, 1

_quick = ctypes.PyDLL(None, use_errno=True)  # keeps the interpreter: these never sleep
_slow = ctypes.CDLL(None, use_errno=True)  # gives it to others: may sleep


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class RobustMutex:
    """At `address`, initialised once by the segment's creator. Not to be taken twice by one thread."""

    def __init__(self, address: int) -> None:
        self._at = ctypes.c_void_p(address)
        self.num_owners_died = 0

    def initialise(self) -> None:
        attributes = ctypes.create_string_buffer(64)
        for call, *arguments in (
            (_quick.pthread_mutexattr_init, attributes),
            (_quick.pthread_mutexattr_setpshared, attributes, _PROCESS_SHARED),
            (_quick.pthread_mutexattr_setrobust, attributes, _ROBUST),
            (_quick.pthread_mutex_init, self._at, attributes),
            (_quick.pthread_mutexattr_destroy, attributes),
        ):
            code = call(*arguments)
            if code:
                raise MailboxError(f"no robust locks between processes on this system (error {code})")

    def try_acquire(self) -> bool:
        return self._taken(_quick.pthread_mutex_trylock(self._at))

    def acquire(self, timeout_secs: float) -> bool:
        """False when the time is over: its owner is alive, and stopped or very slow."""
        if self.try_acquire():
            return True
        end_secs = time.monotonic() + timeout_secs
        while (remaining_secs := end_secs - time.monotonic()) > 0.0:
            # in slices, so that Ctrl-C gets through and a stepped wall clock (which this call measures by)
            # does no harm
            end = time.time() + min(remaining_secs, 0.05)
            until = _Timespec(int(end), int(end % 1.0 * 1e9))
            if self._taken(_slow.pthread_mutex_timedlock(self._at, ctypes.byref(until))):
                return True
        return False

    def release(self) -> None:
        _quick.pthread_mutex_unlock(self._at)

    @contextmanager
    def held(self, timeout_secs: float, what: str) -> Iterator[None]:
        """MailboxError when its owner keeps it longer than timeout_secs."""
        try:  # around taking it as well: a signal may raise between the lock's answer and the next line
            if not self.acquire(timeout_secs):
                raise MailboxError(
                    f"{what}: another process has stopped inside an operation: continue it (SIGCONT), or"
                    " end it"
                )
            yield
        finally:
            self.release()  # refused by the lock itself, and harmless, where it was not taken

    def _taken(self, code: int) -> bool:
        if code == errno.EOWNERDEAD:
            self.num_owners_died += 1
            _quick.pthread_mutex_consistent(self._at)
            return True
        if code in (0, errno.EBUSY, errno.ETIMEDOUT, errno.EINTR):
            return code == 0
        raise MailboxError(
            f"a lock in shared memory is broken (error {code}): unlink this mailbox and make it anew"
        )
