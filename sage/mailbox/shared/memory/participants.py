"""The participants of a shared mailbox: a table of identities in its header, changed under one lock.

Invariant: an entry is one word. The entry of a dead process is cleared only after its resources are taken
back, by the first process that notices; that of a living one only by that process.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable

from sage.mailbox.errors import MailboxError
from sage.mailbox.shared.memory.identity import is_alive, my_identity, pid_of
from sage.mailbox.shared.memory.mutex import BYTES as MUTEX_BYTES
from sage.mailbox.shared.memory.mutex import RobustMutex
from sage.mailbox.shared.memory.segment import HEADER_BYTES, Segment

#: Byte offsets in the header: the lock, up to four doorbells, the table; then the mailbox's own words.
MUTEX_OFFSET = 256
DOORBELLS_OFFSET = MUTEX_OFFSET + MUTEX_BYTES
TABLE_OFFSET = 512
MAX_PARTICIPANTS = 64
OWN_OFFSET = TABLE_OFFSET + 8 * MAX_PARTICIPANTS
LOCK_TIMEOUT_SECS = 5.0
#: The last word of the lock's cache line, which the lock does not use. Segment.create's `prepare` makes the
#: first Participants.
_HAS_LOCK = (MUTEX_OFFSET + MUTEX_BYTES) // 8 - 1
assert OWN_OFFSET < HEADER_BYTES


class Participants:
    """The table of one segment. Joining, leaving and reaping are rare and take the lock."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._first = TABLE_OFFSET // 8
        self.lock = RobustMutex(segment.address + MUTEX_OFFSET)
        if segment.is_creator and not segment.words[_HAS_LOCK]:
            self.lock.initialise()
            segment.words[_HAS_LOCK] = 1

    def join(self, take_back: Callable[[int], None]) -> int:
        """Take a free entry, 0..63, after taking back those of dead processes. One process may have several.

        take_back: as for `reap`.  Raises MailboxError if 64 living participants use all entries.
        """
        with self.lock.held(LOCK_TIMEOUT_SECS, self._segment.name):
            self._reap(take_back)
            for index in range(MAX_PARTICIPANTS):
                if not self._segment.words[self._first + index]:
                    self._segment.words[self._first + index] = my_identity()
                    return index
        raise MailboxError(
            f"{self._segment.name}: {MAX_PARTICIPANTS} participants use it: close some ({self.describe()})"
        )

    def leave(self, index: int, take_back: Callable[[int], None]) -> None:
        """Clear the entry, after `take_back(index)`."""
        with self.lock.held(LOCK_TIMEOUT_SECS, self._segment.name):
            take_back(index)
            self._segment.words[self._first + index] = 0

    def reap(self, take_back: Callable[[int], None]) -> int:
        """Call `take_back(index)` and clear the entry of each dead process; returns how many.

        take_back runs under the lock, so it must be short, and correct when it runs twice (this process may
        die in it).
        """
        with self.lock.held(LOCK_TIMEOUT_SECS, self._segment.name):
            return self._reap(take_back)

    def has_dead(self) -> bool:
        """Whether a `reap` would find something; without the lock, about 20 us per other process."""
        return any(not is_alive(identity) for identity in set(self.identities().values()))

    def identities(self) -> dict[int, int]:
        """The identity word of each entry in use."""
        words = self._segment.words
        return {i: words[self._first + i] for i in range(MAX_PARTICIPANTS) if words[self._first + i]}

    def identity(self, index: int) -> int:
        return self._segment.words[self._first + index]

    def describe(self) -> str:
        """The participants, for an error message."""
        counts: dict[int, int] = {}
        for identity in self.identities().values():
            counts[pid_of(identity)] = counts.get(pid_of(identity), 0) + 1
        return ", ".join(
            f"pid {pid}" + (f" x{count}" if count > 1 else "") for pid, count in sorted(counts.items())
        )

    def _reap(self, take_back: Callable[[int], None]) -> int:
        dead = [index for index, identity in self.identities().items() if not is_alive(identity)]
        for index in dead:
            take_back(index)
            self._segment.words[self._first + index] = 0
        return len(dead)


class DeathWatch:
    """Detects dead participants cheaply while waiting: pidfds of all of them, one poll.

    A result of True is confirmed by `Participants.reap`. Descriptors are opened when participants join and
    closed after they leave.
    """

    def __init__(self, participants: Participants, segment: Segment) -> None:
        self._participants = participants
        self._memory = segment.memory
        self._table = b""  # the table when all its entries were watched
        self._watched: dict[int, int] = {}  # identity: descriptor
        self._poll = select.poll()
        self._looking = threading.Lock()  # poll releases the GIL and cannot run twice at a time

    def has_dead(self) -> bool:
        """Takes a few microseconds for any number of participants. False while another thread is in this
        call, because that thread acts on its result.
        """
        if not self._looking.acquire(blocking=False):
            return False
        try:
            return self._has_dead()
        finally:
            self._looking.release()

    def close(self) -> None:
        """Close all descriptors, also in a forked child, which inherits them."""
        self._looking = threading.Lock()  # a thread that does not exist here may have held the parent's
        self._table = b""
        for identity in tuple(self._watched):
            self._forget(identity)

    def _has_dead(self) -> bool:
        table = self._memory[TABLE_OFFSET : TABLE_OFFSET + 8 * MAX_PARTICIPANTS]
        if table != self._table:
            self._table = b""
            if not self._follow(set(self._participants.identities().values()) - {my_identity()}):
                return self._participants.has_dead()
            self._table = table
        return bool(self._poll.poll(0))

    def _follow(self, identities: set[int]) -> bool:
        """False if a process cannot be watched: it has ended already, or this kernel has no pidfd."""
        for identity in self._watched.keys() - identities:
            self._forget(identity)
        for identity in identities - self._watched.keys():
            try:
                descriptor = os.pidfd_open(pid_of(identity))
            except OSError:
                return False
            self._watched[identity] = descriptor
            self._poll.register(descriptor, select.POLLIN)
            if not is_alive(identity):  # another process may have its pid now
                return False
        return True

    def _forget(self, identity: int) -> None:
        descriptor = self._watched.pop(identity)
        self._poll.unregister(descriptor)
        os.close(descriptor)
