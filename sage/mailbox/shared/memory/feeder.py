"""A file descriptor for event loops, written by a thread of this process that waits on a shared doorbell.

Invariant: the descriptor is readable while a read may succeed; the thread writes once per `rearm`. A forked
child does not have the thread and must not use the descriptor.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable

from sage.mailbox.errors import MailboxError
from sage.mailbox.shared.memory.doorbell import Doorbell

_SLICE_SECS = 3600.0


class Feeder:
    """is_ready: whether a read may succeed; called from the thread, so it must be short and thread-safe."""

    def __init__(self, bell: Doorbell, is_ready: Callable[[], bool], name: str) -> None:
        if not hasattr(os, "eventfd"):
            raise MailboxError(
                "this system has no eventfd: use the timeouts of pop_many and receive in a thread"
            )
        self.descriptor: int = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        # not in close(): an event loop must first see the end and remove the descriptor
        weakref.finalize(self, os.close, self.descriptor)
        self._bell = bell
        self._is_ready = is_ready
        self._is_closed = False
        self._is_armed = threading.Event()
        self._is_armed.set()
        threading.Thread(target=self._run, name=f"{name}-feeder", daemon=True).start()

    def rearm(self) -> None:
        """Nothing is left to read: not readable until the next ring."""
        try:
            os.eventfd_read(self.descriptor)
        except BlockingIOError:
            return
        self._is_armed.set()

    def close(self) -> None:
        """Make the descriptor readable and end the thread."""
        self._is_closed = True
        self._is_armed.set()
        os.eventfd_write(self.descriptor, 1)
        self._bell.ring()

    def _run(self) -> None:
        while not self._is_closed:
            self._is_armed.wait()
            if (
                self._bell.wait_for(lambda: self._is_closed or self._is_ready(), _SLICE_SECS)
                and not self._is_closed
            ):
                self._is_armed.clear()
                os.eventfd_write(self.descriptor, 1)
