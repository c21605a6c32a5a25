"""Has a participant died? Asked while waiting, hence cheaply: by descriptors of the processes (pidfd), one
poll for all.

Invariant: what it says dead is dead; `Participants.reap` makes sure of it, and takes back.
"""

from __future__ import annotations

import os
import select
import threading

from sage.mailbox.shared.memory.identity import is_alive, my_identity, pid_of
from sage.mailbox.shared.memory.participants import MAX_PARTICIPANTS, TABLE_OFFSET, Participants
from sage.mailbox.shared.memory.segment import Segment


class DeathWatch:
    """Descriptors are opened when participants come and closed when they have gone."""

    def __init__(self, participants: Participants, segment: Segment) -> None:
        self._participants, self._memory = participants, segment.memory
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
