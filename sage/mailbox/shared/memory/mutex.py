"""A lock in shared memory that is released when its owner dies (pthread_mutex, process-shared and robust).

Invariant: the data under the lock must be valid after every single store, because an owner may die between
two. The lock of a stopped owner stays locked; that of a dead one does not.
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

_quick = ctypes.PyDLL(None, use_errno=True)  # keeps the GIL: these calls never sleep
_slow = ctypes.CDLL(None, use_errno=True)  # releases the GIL: these calls may sleep


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class RobustMutex:
    """At `address`, initialised once by the segment's creator. Not reentrant."""

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
                raise MailboxError(
                    f"this system has no robust locks between processes (error {code}): use mailboxes"
                    " inside one process"
                )

    def try_acquire(self) -> bool:
        return self._taken(_quick.pthread_mutex_trylock(self._at))

    def acquire(self, timeout_secs: float) -> bool:
        """False after timeout_secs: its owner is alive, but stopped or very slow."""
        if self.try_acquire():
            return True
        end_secs = time.monotonic() + timeout_secs
        while (remaining_secs := end_secs - time.monotonic()) > 0.0:
            # in slices, so that Ctrl-C works and a step of the wall clock, which this call uses, has little
            # effect
            end = time.time() + min(remaining_secs, 0.05)
            until = _Timespec(int(end), int(end % 1.0 * 1e9))
            if self._taken(_slow.pthread_mutex_timedlock(self._at, ctypes.byref(until))):
                return True
        return False

    def release(self) -> None:
        _quick.pthread_mutex_unlock(self._at)

    @contextmanager
    def held(self, timeout_secs: float, what: str) -> Iterator[None]:
        """Raises MailboxError if the owner keeps it longer than timeout_secs."""
        try:  # includes acquire: a signal handler may raise between its return and the next line
            if not self.acquire(timeout_secs):
                raise MailboxError(
                    f"{what}: another process has stopped inside an operation: continue it (SIGCONT), or"
                    " end it"
                )
            yield
        finally:
            self.release()  # has no effect if it was not acquired

    def _taken(self, code: int) -> bool:
        if code == errno.EOWNERDEAD:
            self.num_owners_died += 1
            _quick.pthread_mutex_consistent(self._at)
            return True
        if code in (0, errno.EBUSY, errno.ETIMEDOUT, errno.EINTR):
            return code == 0
        raise MailboxError(
            f"a lock in shared memory is broken (error {code}): unlink this mailbox and create it again"
        )
