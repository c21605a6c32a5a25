"""The store of a focus mailbox in one process: loan, publish, queue, receive, view, claim, release.

Invariant: every change of a slot's state is made here or in SlotAllocator, under one lock, and is counted.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np

from sage.mailbox.clock import Clock
from sage.mailbox.errors import LeaseExpired, MailboxClosed, MailboxError
from sage.mailbox.handles import Lease, Loan
from sage.mailbox.histogram import LatencyHistogram
from sage.mailbox.local.backend import ProgramOrder
from sage.mailbox.local.slot import Slot
from sage.mailbox.local.slot_allocator import SlotAllocator
from sage.mailbox.local.waiting import Waiters
from sage.mailbox.meta import BORROWED, LOANED, PUBLISHED, RELEASING, FocusMeta
from sage.mailbox.options import check_weights
from sage.mailbox.statistics import FocusStatistics
from sage.mailbox.tensor_spec import TensorSpec
from sage.mailbox.trace import MessageTrace, TracedMessage


class Exchange:
    """Called by the mailbox and, as their store, by its handles."""

    def __init__(
        self, *, name: str, clock: Clock, allocator: SlotAllocator, ttl_ns: int | None, debug: bool
    ) -> None:
        self.allocator = allocator
        self.lock = threading.Lock()
        self.arrivals = Waiters(self.lock)
        self.room = Waiters(self.lock)
        self.epoch = 0
        self.is_closed = False
        self.trace: MessageTrace | None = None
        self.bytes_copied = 0
        self._name = name
        self._ttl_ns = ttl_ns
        self._debug = debug
        self._now_ns = clock.now_ns
        self._queue = allocator.queue
        self._pool = allocator.pool
        self._ledger = allocator.ledger
        self._order = allocator.pool.order
        #: Each access may be on another stream, so that each one is ordered anew.
        self.is_ordered = not isinstance(self._order, ProgramOrder)
        self._num_published = 0
        self._popped = 0
        self._high_water = 0
        self._bytes_referenced = 0
        self._push_to_pop = LatencyHistogram()
        self._borrow = LatencyHistogram()

    def view_loan(self, loan: Loan) -> Any:
        with self.lock:
            self._raise_unless_loaned(loan)
            self._order.writing(loan.place.index, "array")
            return self._pool.array(loan.place)

    def tensor_of_loan(self, loan: Loan) -> Any:
        with self.lock:
            self._raise_unless_loaned(loan)
            self._order.writing(loan.place.index, "tensor")
            return self._pool.tensor(loan.place)

    def copy_in(self, loan: Loan, source: Any) -> None:
        """Copy the source that `accept` returned into the loan; counted."""
        with self.lock:
            self._raise_unless_loaned(loan)
            self._order.writing(loan.place.index, self._pool.surface_of(source))
            self._pool.copy_into(loan.place, source)
            self.bytes_copied += source.nbytes

    def publish(
        self, loan: Loan, stamp_ns: int, sequence: int, trust: float, quality: float, ttl_ns: int | None
    ) -> bool:
        check_weights(self._name, trust, quality)
        with self.lock:
            slot: Slot = loan.place
            self._raise_if_ended(loan)
            loan.end()
            if slot.generation != loan.generation or slot.state != LOANED:
                self._ledger[loan.producer].drops["stale"] += 1
                return False
            if self.is_closed:
                self.allocator.retire(slot)
                self.raise_if_closed()
            self._enqueue(slot, stamp_ns, sequence, trust, quality, ttl_ns)
            return True

    def discard(self, loan: Loan) -> None:
        with self.lock:
            self._raise_if_ended(loan)
            loan.end()
            if loan.place.generation == loan.generation and loan.place.state == LOANED:
                self.allocator.retire(loan.place)
                self.wake_writers()

    def view_lease(self, lease: Lease) -> Any:
        with self.lock:
            self._raise_if_released(lease)
            self._order.reading(lease.place.index, "array")
            return self._pool.array(lease.place, is_read_only=True)

    def tensor_of_lease(self, lease: Lease) -> Any:
        with self.lock:
            self._raise_if_released(lease)
            self._order.reading(lease.place.index, "tensor")
            return self._pool.tensor(lease.place)

    def dlpack(self, lease: Lease, stream: int | None, options: dict[str, Any]) -> Any:
        with self.lock:
            self._raise_if_released(lease)
            self._order.reading(lease.place.index, "tensor", stream)
            return self._pool.dlpack(lease.place, options)

    def dlpack_device(self, lease: Lease) -> tuple[int, int]:
        with self.lock:
            self._raise_if_released(lease)
            return self._pool.dlpack_device()

    def index_of(self, place: Slot) -> int:
        return place.index

    def meta(self, lease: Lease) -> FocusMeta:
        with self.lock:
            self._raise_if_released(lease)
            slot: Slot = lease.place
            return slot.meta()

    def claim(self, lease: Lease) -> Any:
        with self.lock:
            self._raise_if_released(lease)
            lease.drop_array()
            self._order.reading(lease.place.index, "array")
            is_shared = lease.place.is_viewed()
            array = self._pool.array(lease.place)
            if not is_shared:
                lease.place.checksum = None  # the holder may write from here on
                return array
            self.bytes_copied += array.nbytes
            return array.copy()

    def release(self, lease: Lease) -> None:
        with self.lock:
            self._raise_if_released(lease)
            lease.end()
            slot: Slot = lease.place
            is_written = slot.checksum is not None and self._pool.checksum(slot) != slot.checksum
            holder = slot.describe() if is_written else ""
            slot.fence = self._order.retired(slot.index, is_holder=True)
            released_ns = self._now_ns()
            self._borrow.add(released_ns - lease.received_ns)
            if self.trace is not None:
                self.trace.add(traced(self._name, slot, lease.received_ns, released_ns))
            self.allocator.retire(slot)
            self.wake_writers()
        if is_written:
            raise MailboxError(
                f"{self._name}: a leased tensor was written to ({holder}): claim() it, or copy it first"
            )

    # The methods below are called with the lock held.

    def lend(self, slot: Slot, spec: TensorSpec, producer: int) -> Loan:
        slot.state, slot.spec, slot.producer, slot.thread = LOANED, spec, producer, threading.get_ident()
        self._ledger[producer].held += 1
        loan = Loan(self, slot, spec, slot.generation, producer)
        slot.handle = weakref.ref(loan)
        return loan

    def post(
        self,
        slot: Slot,
        spec: TensorSpec,
        array: np.ndarray,
        producer: int,
        stamp_ns: int,
        sequence: int,
        trust: float,
        quality: float,
    ) -> None:
        """Write a small array into a newly acquired slot and publish it."""
        slot.spec, slot.producer, slot.thread = spec, producer, threading.get_ident()
        self._ledger[producer].held += 1
        self._order.writing(slot.index, self._pool.surface_of(array))
        self._pool.fill(slot, array)
        self._enqueue(slot, stamp_ns, sequence, trust, quality, None)

    def statistics(self, *, policy: str) -> FocusStatistics:
        self.allocator.sweep()
        slots = self._pool.slots
        return FocusStatistics(
            name=self._name,
            policy=policy,
            slots=len(slots),
            slot_bytes=self.allocator.slot_bytes,
            free=len(self.allocator.free),
            pushed=self._ledger.pushed(),
            popped=self._popped,
            bytes_copied=self.bytes_copied,
            bytes_referenced=self._bytes_referenced,
            depth=self._queue.depth,
            high_water=self._high_water,
            leaks=sum(s.state == RELEASING and s.is_viewed() for s in slots),
            leaks_total=self.allocator.leaks_total,
            orphans=self.allocator.orphans,
            drops=self._ledger.drops(),
            producers=tuple(account.statistics() for account in self._ledger.values()),
            holders=self.allocator.holders(),
            push_to_pop=self._push_to_pop.percentiles(),
            borrow=self._borrow.percentiles(),
        )

    def _enqueue(
        self, slot: Slot, stamp_ns: int, sequence: int, trust: float, quality: float, ttl_ns: int | None
    ) -> None:
        ttl_ns = self._ttl_ns if ttl_ns is None else ttl_ns
        slot.stamp_ns, slot.sequence, slot.trust, slot.quality = stamp_ns, sequence, trust, quality
        slot.pushed_ns = now_ns = self._now_ns()
        slot.deadline_ns = None if ttl_ns is None else now_ns + ttl_ns
        slot.handle = None
        self._order.written(slot.index)
        slot.checksum = self._pool.checksum(slot) if self._debug else None
        slot.state = PUBLISHED
        self._num_published += 1
        slot.order = self._num_published
        self._ledger[slot.producer].pushed += 1
        self._queue.append(slot)
        if self._queue.depth > self._high_water:
            self._high_water = self._queue.depth
        if self.arrivals.is_watched:
            self.arrivals.notify()

    def next(self, newest: bool) -> Slot | None:
        """Remove the next message that has not expired from the queue."""
        now_ns = self._now_ns()
        if newest and self._queue.depth > 1:
            self.allocator.drop_expired()
            freshest = self._queue.freshest()
            for older in [slot for slot in self._queue if slot is not freshest]:
                self.allocator.drop(older, "superseded")
        while (slot := self._queue.pop()) is not None:
            if slot.deadline_ns is None or now_ns < slot.deadline_ns:
                return slot
            self.allocator.count_drop(slot, "expired")
        if self.arrivals.is_watched:
            self.arrivals.rearm()
        return None

    def borrowed(self, slot: Slot) -> Lease:
        assert slot.spec is not None
        slot.state, slot.thread = BORROWED, threading.get_ident()
        now_ns = self._now_ns()
        self._push_to_pop.add(now_ns - slot.pushed_ns)
        self._popped += 1
        self._bytes_referenced += slot.spec.num_bytes
        lease = Lease(self, slot, slot.spec, slot.generation, now_ns)
        slot.handle = weakref.ref(lease)
        return lease

    def wake_writers(self) -> None:
        if self.room.is_watched:
            self.room.notify()

    def raise_if_closed(self) -> None:
        if self.is_closed:
            raise MailboxClosed(f"{self._name}: the mailbox was closed")

    def _raise_if_released(self, lease: Lease) -> None:
        if lease.is_ended:
            lease.raise_ended()

    def _raise_if_ended(self, loan: Loan) -> None:
        if loan.is_ended:
            loan.raise_ended(self._name)

    def _raise_unless_loaned(self, loan: Loan) -> None:
        self._raise_if_ended(loan)
        if loan.place.generation != loan.generation or loan.place.state != LOANED:
            raise LeaseExpired(
                f"{self._name}: slot {loan.index}: this loan was taken back: request a new one"
            )


def traced(mailbox: str, slot: Slot, received_ns: int, released_ns: int) -> TracedMessage:
    """The message in `slot`, when its lease ends."""
    return TracedMessage(
        mailbox=mailbox,
        slot=slot.index,
        generation=slot.generation,
        producer=slot.producer,
        sequence=slot.sequence,
        num_bytes=0 if slot.spec is None else slot.spec.num_bytes,
        captured_ns=slot.stamp_ns,
        published_ns=slot.pushed_ns,
        received_ns=received_ns,
        released_ns=released_ns,
    )
