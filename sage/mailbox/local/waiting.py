"""Waiting for a mailbox: block with a timeout, or a file descriptor for an event loop.

Invariant: nobody waits without an end, and a signal costs one integer test while nobody waits.
Timeouts are real seconds (they are about threads), whatever clock stamps the messages.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable

from sage.mailbox.errors import MailboxError

#: 20 wake-ups a second while blocked: well under 1% of a core.
POLL_SECS = 0.05


class Waiters:
    """Threads, and at most one event loop, that wait for one condition of a mailbox. Used under its lock."""

    __slots__ = ("__weakref__", "_condition", "_eventfd", "_num_waiting", "is_watched")

    def __init__(self, lock: threading.Lock) -> None:
        self._condition = threading.Condition(lock)
        self._num_waiting = 0
        self._eventfd = -1
        self.is_watched = False

    def wait_for(self, predicate: Callable[[], bool], timeout_secs: float) -> bool:
        """Lock held. True as soon as `predicate()` holds; its last value when the time is over.

        It asks again every POLL_SECS at the latest: the end of a view or of a stream's work calls nobody.
        """
        if predicate():
            return True
        end_secs = time.monotonic() + timeout_secs
        self._num_waiting += 1
        self.is_watched = True
        try:
            while (remaining_secs := end_secs - time.monotonic()) > 0.0:
                # the lock, and with it the interpreter, is let go only in here; Ctrl-C gets through
                self._condition.wait(min(remaining_secs, POLL_SECS))
                if predicate():
                    return True
            return False
        finally:
            self._num_waiting -= 1
            self.is_watched = self._num_waiting > 0 or self._eventfd >= 0

    def notify(self) -> None:
        """Lock held. Also at closing: predicates look at the closed flag.

        Callers test `is_watched` first, which keeps the unwatched path cheap.
        """
        if self._num_waiting:
            self._condition.notify_all()
        if self._eventfd >= 0:
            os.eventfd_write(self._eventfd, 1)

    def fileno(self) -> int:
        """Lock held. A descriptor that is readable once `notify` was called; made on the first call."""
        if self._eventfd < 0:
            if not hasattr(os, "eventfd"):
                raise MailboxError(
                    "no eventfd on this system: use the timeouts of receive and pop_many in a thread"
                )
            self._eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            # not in close(): an event loop that watches it must still see the end, and take it off its list
            weakref.finalize(self, os.close, self._eventfd)
            self.is_watched = True
        return self._eventfd

    def rearm(self) -> None:
        """Lock held, nothing left to take: the descriptor is not readable until the next notify."""
        if self._eventfd >= 0:
            try:
                os.eventfd_read(self._eventfd)
            except BlockingIOError:
                return
