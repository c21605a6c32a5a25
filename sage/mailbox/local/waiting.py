"""Waiting on a condition of a mailbox: a blocking call with a timeout, or a descriptor for an event loop.

Invariant: every wait has a timeout; a notification without a waiter costs one test.
Timeouts are in real seconds, independent of the clock that stamps messages.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable

from sage.mailbox.errors import MailboxError

#: 20 checks a second while blocked: well under 1% of a core.
POLL_SECS = 0.05


class Waiters:
    """Threads, and at most one event loop, that wait for one condition. Used with the mailbox's lock held."""

    __slots__ = ("__weakref__", "_condition", "_eventfd", "_num_waiting", "is_watched")

    def __init__(self, lock: threading.Lock) -> None:
        self._condition = threading.Condition(lock)
        self._num_waiting = 0
        self._eventfd = -1
        self.is_watched = False

    def wait_for(self, predicate: Callable[[], bool], timeout_secs: float) -> bool:
        """True as soon as `predicate()` is true; False after timeout_secs.

        It is evaluated at least every POLL_SECS, because the end of a view or of a stream's work gives no
        notification.
        """
        if predicate():
            return True
        end_secs = time.monotonic() + timeout_secs
        self._num_waiting += 1
        self.is_watched = True
        try:
            while (remaining_secs := end_secs - time.monotonic()) > 0.0:
                # only this call releases the lock and the interpreter; Ctrl-C interrupts it
                self._condition.wait(min(remaining_secs, POLL_SECS))
                if predicate():
                    return True
            return False
        finally:
            self._num_waiting -= 1
            self.is_watched = self._num_waiting > 0 or self._eventfd >= 0

    def notify(self) -> None:
        """Wake all waiters; also called at close. Callers test `is_watched` first, which is cheap."""
        if self._num_waiting:
            self._condition.notify_all()
        if self._eventfd >= 0:
            os.eventfd_write(self._eventfd, 1)

    def fileno(self) -> int:
        """A descriptor that is readable after `notify`; created on the first call."""
        if self._eventfd < 0:
            if not hasattr(os, "eventfd"):
                raise MailboxError(
                    "no eventfd on this system: use the timeouts of receive and pop_many in a thread"
                )
            self._eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            # not in close(): an event loop must first see the end and remove the descriptor
            weakref.finalize(self, os.close, self._eventfd)
            self.is_watched = True
        return self._eventfd

    def rearm(self) -> None:
        """Nothing is left to read: the descriptor is not readable until the next notify."""
        if self._eventfd >= 0:
            try:
                os.eventfd_read(self._eventfd)
            except BlockingIOError:
                return
