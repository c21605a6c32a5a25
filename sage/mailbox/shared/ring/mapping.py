"""The peripheral mailbox between processes: many small records, broadcast to every subscriber.

Invariant: each cursor receives every record in one order, or the exact number lost; no record is torn or
repeated. No process waits for a stopped or dead one, except a lossless writer for a living reader. The
protocol is described in `push`.
"""

from __future__ import annotations

import os
import weakref

from sage.errors import InputError
from sage.mailbox.clock import Clock
from sage.mailbox.errors import MailboxClosed, MailboxError
from sage.mailbox.options import Mode, Start
from sage.mailbox.record import RECORD_BYTES, record_dtype
from sage.mailbox.shared.memory.engine_choice import EngineName, choose
from sage.mailbox.shared.memory.participants import Participants
from sage.mailbox.shared.memory.segment import IS_CLOSED, NameTaken, NoSuchMailbox, Segment
from sage.mailbox.shared.ring.engine import make_engine
from sage.mailbox.shared.ring.layout import FIRST, KIND, OPTION_NAMES
from sage.mailbox.shared.ring.membership import Membership
from sage.mailbox.shared.ring.pop import LATEST, OLDEST
from sage.mailbox.shared.ring.producer import RingProducer
from sage.mailbox.shared.ring.segment import create_ring, engine_of, ring_options
from sage.mailbox.shared.ring.statistics import read_statistics
from sage.mailbox.shared.ring.subscription import RingEnd, SharedSubscription
from sage.mailbox.statistics import PeripheralStatistics


class SharedPeripheral(RingProducer):
    """A `Peripheral` mailbox between processes.

    Each handle is one participant. The memory is freed once the ring is unlinked and the last process ends.
    """

    def __init__(self, segment: Segment, participants: Participants, clock: Clock) -> None:
        """Use `create`, `attach` or `open`."""
        options = segment.options(OPTION_NAMES)
        engine = make_engine(engine_of(segment), participants.lock, segment.name)
        super().__init__(segment, Membership(segment, participants), engine, clock)
        self.capacity = options["capacity"]
        self.mode: Mode = "lossless" if options["is_lossless"] else "lossy"
        self.backend = "shared"
        self.engine = engine.name
        self.dtype = record_dtype(self.record_bytes)
        self._subscriptions: list[SharedSubscription] = []
        self._ends_for_all = segment.is_creator
        _handles.add(self)

    @classmethod
    def create(
        cls,
        name: str,
        *,
        clock: Clock,
        capacity: int = 1024,
        record_bytes: int = RECORD_BYTES,
        mode: Mode = "lossy",
        first_ticket: int = 0,
        engine: EngineName | None = None,
    ) -> SharedPeripheral:
        """A new ring `name` in /dev/shm. Raises MailboxError if the name is taken or memory is short.

        first_ticket: of the first record.  engine: "numba" (compiled) or "plain"; None: the best that works.
        """
        options = ring_options(
            name,
            capacity=capacity,
            record_bytes=record_bytes,
            mode=mode,
            first_ticket=first_ticket,
            engine=choose(engine),
        )
        segment = create_ring(name, options)
        return cls(segment, Participants(segment), clock)

    @classmethod
    def attach(cls, name: str, *, clock: Clock, engine: EngineName | None = None) -> SharedPeripheral:
        """Attach to an existing ring. Raises MailboxError if there is none, or its engine does not work
        here.
        """
        return cls._attach(Segment.attach(name, kind=KIND), clock, engine)

    @classmethod
    def open(
        cls,
        name: str,
        *,
        clock: Clock,
        capacity: int = 1024,
        record_bytes: int = RECORD_BYTES,
        mode: Mode = "lossy",
        engine: EngineName | None = None,
    ) -> SharedPeripheral:
        """`attach`, or `create` if there is none. No handle opened this way closes the ring for the others.

        Raises MailboxError if the ring exists with other options.
        """
        requested = {
            "capacity": capacity,
            "record_bytes": record_bytes,
            "is_lossless": int(mode == "lossless"),
        }
        while True:
            try:
                return cls._attach(Segment.attach(name, kind=KIND, options=requested), clock, engine)
            except NoSuchMailbox:
                pass
            try:
                made = cls.create(
                    name, clock=clock, capacity=capacity, record_bytes=record_bytes, mode=mode, engine=engine
                )
            except NameTaken:
                continue  # another process created it
            made._ends_for_all = False
            return made

    @classmethod
    def _attach(cls, segment: Segment, clock: Clock, engine: EngineName | None) -> SharedPeripheral:
        made_for = engine_of(segment)
        if engine not in (None, made_for):
            raise MailboxError(
                f"{segment.name}: exists with engine {made_for}, requested {engine}: use the same engine"
                f" or another name"
            )
        choose(made_for)
        return cls(segment, Participants(segment), clock)

    @property
    def address(self) -> int:
        """Address of the first lane's records in this process."""
        return self._membership.lanes_address

    def subscribe(self, *, start: Start = "latest", group: str | None = None) -> SharedSubscription:
        """A cursor of its own, or with `group` one cursor that its members in all processes share (a work
        queue).

        start: "latest" reads records pushed from now on, "oldest" the history too, a ticket continues there
        (records that are overwritten by then count as lost). Only a group's first member sets it.
        """
        self._raise_if_closed()
        block = self._membership.enter(group, self._start(start), self._engine)
        end = RingEnd(
            name=self.name,
            dtype=self.dtype,
            address=self._segment.address,
            engine=self._engine,
            membership=self._membership,
            now_ns=self._now_ns,
            real_ns=self._real_ns,
            owner=self,
        )
        subscription = SharedSubscription(end, block)
        self._subscriptions.append(subscription)
        return subscription

    def statistics(self) -> PeripheralStatistics:
        return read_statistics(self._segment)

    def reap(self) -> int:
        """Take back the resources of dead processes, including their cursors; returns how many handles had
        died. A stopped process is not dead.
        """
        return self._membership.reap()

    def close(self) -> None:
        """In the creator: no more pushes in any process. In others, and after `open`: `detach`.

        Subscribers receive what is left, then MailboxClosed. Safe to call twice.
        """
        if self._ends_for_all and not self._is_closed:
            self._segment.words[IS_CLOSED] = 1
        self.detach()

    def detach(self) -> None:
        """Close this handle only. Its subscribers receive what is left and no longer block lossless
        writers.
        """
        if not self._is_closed:
            self._end_pushes()
            end = self._engine.end_sequence(self._control_address) if self._subscriptions else 0
            for subscription in self._subscriptions:
                subscription.end_at(end)
                self._membership.drain(subscription.block)
            self._leave_if_idle()
        self._membership.arrivals.ring()
        self._membership.departures.ring()

    def unlink(self) -> None:
        """Remove the name. Attached handles stay usable; the memory is freed with the last of them."""
        self._segment.unlink()

    def __enter__(self) -> SharedPeripheral:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _start(self, start: Start) -> int:
        if start in ("latest", "oldest"):
            return LATEST if start == "latest" else OLDEST
        first, end = self._segment.words[FIRST // 8], self._engine.end_sequence(self._control_address)
        if isinstance(start, int) and first <= start <= end:
            return start
        raise InputError(
            f'{self.name}: start is {start!r}: give "latest", "oldest" or a ticket from {first} to {end}'
        )

    def _raise_if_closed(self) -> None:
        if self.is_over():
            raise MailboxClosed(f"{self.name}: the mailbox was closed")

    def leave(self, subscription: SharedSubscription) -> None:
        self._subscriptions.remove(subscription)
        self._membership.quit(subscription.block)
        self._leave_if_idle()

    def _leave_if_idle(self) -> None:
        """Keep the entry while a subscription reads what is left."""
        if self._is_closed and not self._subscriptions:
            self._membership.leave()

    def _after_fork(self) -> None:
        """In the child: subscriptions belong to the parent; a push or a subscription joins again."""
        for subscription in self._subscriptions:
            subscription.disown()
        self._subscriptions, self._ends_for_all = [], False
        self._forget_lane()


_handles: weakref.WeakSet[SharedPeripheral] = weakref.WeakSet()


def _join_again_after_fork() -> None:
    for handle in _handles:
        handle._after_fork()


os.register_at_fork(after_in_child=_join_again_after_fork)
