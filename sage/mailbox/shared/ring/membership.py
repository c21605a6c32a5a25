"""One handle's resources in a shared ring: its entry, its lane and its cursors.

Invariant: the resources of an entry belong to a living process, or are taken back by the first process that
notices its death. A forked child never gives back those of its parent.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable

from sage.mailbox.shared.memory.doorbell import Doorbell
from sage.mailbox.shared.memory.identity import is_alive
from sage.mailbox.shared.memory.participants import LOCK_TIMEOUT_SECS, Participants
from sage.mailbox.shared.memory.segment import Segment
from sage.mailbox.shared.ring.cursor_table import CursorTable
from sage.mailbox.shared.ring.engine import Engine
from sage.mailbox.shared.ring.lane import ARRIVALS, DEPARTURES, claim_lane, control_words
from sage.mailbox.shared.ring.layout import C_LANE, OPTION_NAMES, SEQUENCE, RingLayout

#: Interval at which a blocked writer checks for dead readers.
REAP_SECS = 0.005
NONE = -1


class Membership:
    def __init__(self, segment: Segment, participants: Participants) -> None:
        """Join: take back the resources of dead processes, then take an entry."""
        options = segment.options(OPTION_NAMES)
        self._segment = segment
        self._participants = participants
        self._layout = RingLayout(capacity=options["capacity"], record_bytes=options["record_bytes"])
        self._table = CursorTable(segment, self._layout)
        self.arrivals = Doorbell(segment.words, ARRIVALS // 8, segment.address + ARRIVALS)
        self.departures = Doorbell(segment.words, DEPARTURES // 8, segment.address + DEPARTURES)
        self._control = control_words(segment, self._layout, is_lossless=bool(options["is_lossless"]))
        self.control_address = ctypes.addressof(self._control)
        self._joining = threading.Lock()
        self.lanes_address = segment.address + self._layout.lanes + self._layout.meta_bytes
        self._index = participants.join(self._table.take_back)

    def forget(self) -> None:
        """In a forked child: entry and lane belong to the parent; the next use takes new ones."""
        self._joining = threading.Lock()  # a thread that does not exist here may have held the parent's
        self._index = self._control[C_LANE // 8] = NONE

    def claim_lane(self, engine: Engine) -> None:
        """Claim the entry's lane, once, in the first thread that pushes. Raises MailboxError if memory is
        short.
        """
        self._join_again()
        engine.end_sequence(self.control_address)  # moves the tail, if the lane's last owner died before it
        with self._participants.lock.held(LOCK_TIMEOUT_SECS, self._segment.name):
            if self._control[C_LANE // 8] != self._index:
                claim_lane(self._segment, self._layout, self._control, self._index)

    def _join_again(self) -> None:
        with self._joining:
            if self._index == NONE:
                self._index = self._participants.join(self._table.take_back)

    def enter(self, group: str | None, start: int, engine: Engine) -> int:
        """A new cursor, or one more member of a group; returns its block."""
        self._join_again()
        with self._participants.lock.held(LOCK_TIMEOUT_SECS, self._segment.name):
            return self._table.join(self._index, group, start, engine, self.control_address)

    def quit(self, block: int) -> None:
        """Undo `enter`."""
        with self._participants.lock.held(LOCK_TIMEOUT_SECS, self._segment.name):
            self._table.leave(block, self._index)
        self.departures.ring()

    def drain(self, block: int) -> None:
        """A cursor that only this handle uses no longer blocks writers."""
        with self._participants.lock.held(LOCK_TIMEOUT_SECS, self._segment.name):
            self._table.drain(block, self._index)

    def leave(self) -> None:
        """Clear the entry. Safe to call twice, and in a forked child."""
        if self._index != NONE:
            self._participants.leave(self._index, self._table.take_back)
            self._index = NONE
            self.departures.ring()

    def reap(self) -> int:
        """Take back the resources of dead processes; returns the number of entries."""
        num_dead = self._participants.reap(self._table.take_back)
        with self._participants.lock.held(LOCK_TIMEOUT_SECS, self._segment.name):
            has_ended = self._table.end_left()
        if num_dead or has_ended:
            self.departures.ring()
        return num_dead

    def reap_if_blocked(self) -> None:
        """`reap` if the owner of a live cursor is dead, or a cursor has none."""
        owners = {self._participants.identity(index) for index in self._table.owners()}
        if self._table.has_left() or not all(is_alive(identity) for identity in owners if identity):
            self.reap()

    def expected(self, block: int) -> int:
        """The sequence of the next record of a cursor."""
        return self._segment.words[(block + SEQUENCE) // 8]

    def wait_for_room(self, engine: Engine, is_closed: Callable[[], bool], timeout_secs: float) -> bool:
        """Sleep until a lossless ring has room or is closed; False after timeout_secs. Checks for dead
        readers every 5 ms.
        """
        next_reap_secs = time.monotonic()

        def has_room() -> bool:
            nonlocal next_reap_secs
            if engine.has_room(self.control_address) or is_closed():
                return True
            if time.monotonic() >= next_reap_secs:
                self.reap_if_blocked()
                next_reap_secs = time.monotonic() + REAP_SECS
            return bool(engine.has_room(self.control_address))

        return self.departures.wait_for(has_room, timeout_secs, poll_secs=REAP_SECS)
