"""Waiting for another process: a flag that says somebody sleeps, and the futex word that he sleeps on.

Invariant: nobody sleeps through a ring, and a sleeper that is killed leaves nothing to clean up. The sleeper
raises the flag, then looks at the condition; the ringer changes the condition, then looks at the flag: with a
full fence between the two on either side one of them sees the other (Dekker).  A ring lowers the flag, and
each sleeper raises it again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from sage.mailbox.shared.memory import futex

#: A sleeper looks up this often all the same: 20 times a second costs well under 1% of a core.
POLL_SECS = 0.05

_fence_lock = threading.Lock()


def full_fence() -> None:
    """No load behind it is done before a store in front of it. A lock's read-modify-write is one on x86-64;
    on aarch64 it may let a store pass, which costs a sleeper POLL_SECS at worst."""
    with _fence_lock:
        pass


def _renew() -> None:
    """In a forked child: the lock may have been held by a thread that is not here."""
    global _fence_lock
    _fence_lock = threading.Lock()


os.register_at_fork(after_in_child=_renew)


class Doorbell:
    """Two words at `address`: flag (int64), then the futex's count (int32). One for each condition of a
    mailbox.
    """

    WORDS = 2

    def __init__(self, words: memoryview, index: int, address: int) -> None:
        """words: the segment's int64 view, the doorbell at words[index] and words[index + 1], which lie at
        `address`.
        """
        self._words = words
        self._index = index
        self._futex_address = address + 8
        self._counts = words.cast("B").cast("I")

    @property
    def is_watched(self) -> bool:
        """Somebody sleeps. Kernels test the word itself, behind a full fence."""
        return bool(self._words[self._index])

    def ring(self) -> None:
        """The condition has changed and the flag was seen raised. A lost count by two ringers at once still
        differs.
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
        """True as soon as `condition()` holds; its last value when the time is over.

        spin_secs: look without sleeping for so long first, which buys a wake-up of some 50 us with a busy
        core.
        poll_secs: look up this often even when nobody rings.
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
        return False  # the last look was after the last sleep
