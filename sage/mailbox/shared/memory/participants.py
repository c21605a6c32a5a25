"""Who takes part in a shared mailbox: a table of identities in its header, one lock for coming and going.

Invariant: an entry is one word; a dead process's entry is cleared only after what it owned was taken back, by
whoever notices first, and a living one's never.
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

#: Bytes of the header: the lock, up to four doorbells, the table; then the mailbox's own.
MUTEX_OFFSET = 256
DOORBELLS_OFFSET = MUTEX_OFFSET + MUTEX_BYTES
TABLE_OFFSET = 512
MAX_PARTICIPANTS = 64
OWN_OFFSET = TABLE_OFFSET + 8 * MAX_PARTICIPANTS
LOCK_TIMEOUT_SECS = 5.0
#: The last word of the lock's line, which the lock does not use. Make the first Participants in
#: Segment.create's `prepare`.
_HAS_LOCK = (MUTEX_OFFSET + MUTEX_BYTES) // 8 - 1
assert OWN_OFFSET < HEADER_BYTES


class Participants:
    """The table of one segment. Coming, going and reaping are rare: they take the lock."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._first = TABLE_OFFSET // 8
        self.lock = RobustMutex(segment.address + MUTEX_OFFSET)
        if segment.is_creator and not segment.words[_HAS_LOCK]:
            self.lock.initialise()
            segment.words[_HAS_LOCK] = 1

    def join(self, take_back: Callable[[int], None]) -> int:
        """An entry of one's own, 0..63: of a dead participant if need be. MailboxError when 64 living hold
        them all.

        One process may hold several: each handle has its own.  take_back: see `reap`.
        """
        with self.lock.held(LOCK_TIMEOUT_SECS, self._segment.name):
            self._reap(take_back)
            for index in range(MAX_PARTICIPANTS):
                if not self._segment.words[self._first + index]:
                    self._segment.words[self._first + index] = my_identity()
                    return index
        raise MailboxError(
            f"{self._segment.name}: {MAX_PARTICIPANTS} participants hold it: close some ({self.describe()})"
        )

    def leave(self, index: int, take_back: Callable[[int], None]) -> None:
        """Give the entry back, after `take_back(index)`."""
        with self.lock.held(LOCK_TIMEOUT_SECS, self._segment.name):
            take_back(index)
            self._segment.words[self._first + index] = 0

    def reap(self, take_back: Callable[[int], None]) -> int:
        """`take_back(index)` for each entry whose process is dead; how many. Runs under the lock, so it must
        be short, and right when it runs twice (its own process may die in it)."""
        with self.lock.held(LOCK_TIMEOUT_SECS, self._segment.name):
            return self._reap(take_back)

    def has_dead(self) -> bool:
        """Without the lock: worth a `reap`?  About 20 us for each other process."""
        return any(not is_alive(identity) for identity in set(self.identities().values()))

    def identities(self) -> dict[int, int]:
        """The identity word of each entry in use."""
        words = self._segment.words
        return {i: words[self._first + i] for i in range(MAX_PARTICIPANTS) if words[self._first + i]}

    def identity(self, index: int) -> int:
        return self._segment.words[self._first + index]

    def describe(self) -> str:
        """Who takes part, for an error message."""
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
    """Descriptors are opened when participants come and closed when they have gone."""

    def __init__(self, participants: Participants, segment: Segment) -> None:
        self._participants = participants
        self._memory = segment.memory
        self._table = b""  # as it was when all in it were watched
        self._watched: dict[int, int] = {}  # identity: descriptor
        self._poll = select.poll()
        self._looking = threading.Lock()  # a poll lets the interpreter go, and refuses a second one meanwhile

    def has_dead(self) -> bool:
        """A few microseconds, however many take part. False while another thread looks: that one acts on what
        it sees.
        """
        if not self._looking.acquire(blocking=False):
            return False
        try:
            return self._has_dead()
        finally:
            self._looking.release()

    def close(self) -> None:
        """Also in a forked child, which has them by inheritance."""
        self._looking = threading.Lock()  # the parent's may be held by a thread that is not here
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
        """False when somebody cannot be watched: he has gone already, or this kernel has no such
        descriptors.
        """
        for identity in self._watched.keys() - identities:
            self._forget(identity)
        for identity in identities - self._watched.keys():
            try:
                descriptor = os.pidfd_open(pid_of(identity))
            except OSError:
                return False
            self._watched[identity] = descriptor
            self._poll.register(descriptor, select.POLLIN)
            if not is_alive(identity):  # its number may be somebody else's by now
                return False
        return True

    def _forget(self, identity: int) -> None:
        descriptor = self._watched.pop(identity)
        self._poll.unregister(descriptor)
        os.close(descriptor)
