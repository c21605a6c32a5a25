"""Waiting for another process: a flag for "a waiter sleeps", and the futex word that it sleeps on.

Invariant: no waiter misses a ring, and a waiter that is killed leaves nothing to clean up. The waiter sets
the flag, then checks the condition; the notifier changes the condition, then checks the flag. With a full
fence between the two steps on both sides, at least one of them sees the other (Dekker). A ring clears the
flag, and each waiter sets it again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from sage.mailbox.shared.memory import futex

#: A waiter also checks this often without a ring: 20 times a second takes well under 1% of a core.
POLL_SECS = 0.05

_fence_lock = threading.Lock()


def full_fence() -> None:
    """No later load is done before an earlier store. On x86-64 a lock's read-modify-write is a full fence; on
    aarch64 it may let a store pass, which delays a waiter by at most POLL_SECS.
    """
    with _fence_lock:
        pass


def _renew() -> None:
    """In a forked child: a thread that does not exist here may have held the lock."""
    global _fence_lock
    _fence_lock = threading.Lock()


os.register_at_fork(after_in_child=_renew)


class Doorbell:
    """Two words at `address`: flag (int64) and the futex's count (int32). One per condition of a mailbox."""

    WORDS = 2

    def __init__(self, words: memoryview, index: int, address: int) -> None:
        """words: the segment's int64 view; the doorbell is words[index] and words[index + 1], at
        `address`.
        """
        self._words = words
        self._index = index
        self._futex_address = address + 8
        self._counts = words.cast("B").cast("I")

    @property
    def is_watched(self) -> bool:
        """Whether a waiter sleeps. Kernels test the word itself, after a full fence."""
        return bool(self._words[self._index])

    def ring(self) -> None:
        """Wake all waiters, after the condition changed. If two notifiers increment at once, the count still
        differs from before.
        """
        self._words[self._index] = 0
        at = (self._index + 1) * 2
        self._counts[at] = (self._counts[at] + 1) & 0xFFFFFFFF
        futex.wake(self._futex_address)

    def wait_for(
        self,
        condition: Callable[[], bool],
        timeout_secs: float,
        *,
        spin_secs: float = 0.0,
        poll_secs: float = POLL_SECS,
    ) -> bool:
        """True as soon as `condition()` is true; False after timeout_secs.

        spin_secs: check without sleeping for this long first; saves a wake-up of about 50 us, uses a core.
        poll_secs: check this often even without a ring.
        """
        if condition():
            return True
        now_secs = time.monotonic()
        end_secs = now_secs + timeout_secs
        while spin_secs > 0.0 and time.monotonic() - now_secs < min(spin_secs, timeout_secs):
            if condition():
                return True
        at = (self._index + 1) * 2
        while (remaining_secs := end_secs - time.monotonic()) > 0.0:
            seen = self._counts[at]
            self._words[self._index] = 1
            full_fence()
            if condition():
                return True
            futex.wait(self._futex_address, seen, min(remaining_secs, poll_secs))
            if condition():
                return True
        return False  # the last check was after the last sleep
