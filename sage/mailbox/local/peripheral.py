"""The peripheral mailbox of one process: many small records, broadcast to every subscriber.

Invariant: each cursor receives every record in ticket order, or the exact number lost; no record is torn or
repeated. One lock per ring ensures this; record layout, tickets and generations are those of the ring between
processes.
"""

from __future__ import annotations

import threading
import time

import numpy as np

from sage.errors import InputError
from sage.mailbox.clock import Clock
from sage.mailbox.contract import Batch
from sage.mailbox.errors import MailboxClosed
from sage.mailbox.histogram import LatencyHistogram
from sage.mailbox.local.backend import Backend, HostBackend
from sage.mailbox.local.cursor import Cursor
from sage.mailbox.local.ring import Ring
from sage.mailbox.local.waiting import Waiters
from sage.mailbox.options import Mode, Start, check_mode
from sage.mailbox.record import RECORD_BYTES
from sage.mailbox.statistics import PeripheralStatistics


class PeripheralMailbox:
    """A broadcast ring. mode "lossy": a full ring overwrites its oldest record; "lossless": a push waits, or
    is refused, while a cursor is `capacity` records behind.

    A lossless ring without subscribers refuses nothing. The last `capacity` records are history for new
    subscribers.
    """

    def __init__(
        self,
        name: str,
        *,
        clock: Clock,
        capacity: int = 1024,
        record_bytes: int = RECORD_BYTES,
        mode: Mode = "lossy",
        backend: Backend | None = None,
        first_ticket: int = 0,
    ) -> None:
        check_mode(name, mode)
        backend = backend or HostBackend()
        self.name = name
        self.mode = mode
        self.capacity = capacity
        self.record_bytes = record_bytes
        self.backend = backend.name
        self._ring = Ring(
            capacity=capacity, record_bytes=record_bytes, backend=backend, first_ticket=first_ticket
        )
        self.dtype = self._ring.dtype
        self._now_ns = clock.now_ns
        self._lock = threading.Lock()
        self._room = Waiters(self._lock)
        self._cursors: list[Cursor] = []
        self._num_subscribed = 0
        self._floor = first_ticket  # no cursor is below it; refreshed only if a lossless ring seems full
        self._is_closed = False
        self._refused = 0
        self._popped = 0
        self._lost = 0
        self._high_water = 0
        self._bytes_copied = 0
        self._latency = LatencyHistogram()

    @property
    def address(self) -> int:
        """Address of the first record."""
        return self._ring.address

    def push(self, record: np.ndarray | np.void | bytes, *, timeout_secs: float = 0.0) -> bool:
        """Append one record; False if a lossless ring stayed full for `timeout_secs`.

        record: shape () or (1,) of the ring's dtype, or its bytes; payload past its `length` is zeroed.
        Raises MailboxClosed after close.
        """
        data = self._ring.checked(record)
        with self._lock:
            if (self.mode == "lossless" or self._is_closed) and not self._has_room(timeout_secs):
                self._refused += 1
                return False
            self._ring.write(data, self._now_ns())
            self._bytes_copied += self.record_bytes
            self._notify_readers()
        return True

    def push_many(self, records: np.ndarray, *, timeout_secs: float = 0.0) -> int:
        """Append `records` (n,) in order; returns how many were appended.

        That is n, unless a lossless ring stayed full for `timeout_secs`: then the first ones, and the rest
        counts as refused. Records pushed by others may come between those before and after a wait. Raises
        MailboxClosed after close; a close during the wait returns what was appended before it, if anything.
        """
        copies = self._ring.checked_many(records)
        with self._lock:
            self._raise_if_closed()
            if self.mode == "lossy":
                num_taken = len(copies)
                self._append(copies)
            else:
                num_taken = self._append_as_room_comes(copies, timeout_secs)
                self._refused += len(copies) - num_taken
        return num_taken

    def subscribe(self, *, start: Start = "latest", group: str | None = None) -> Subscription:
        """A cursor of its own, or with `group` one cursor that all members share (a work queue).

        start: "latest" reads records pushed from now on, "oldest" the history too, a ticket continues there
        (records that are overwritten by then count as lost). Only a group's first member sets it.
        """
        with self._lock:
            self._raise_if_closed()
            cursor = next((c for c in self._cursors if group is not None and c.group == group), None)
            if cursor is None:
                self._num_subscribed += 1
                label = group if group is not None else f"subscriber-{self._num_subscribed}"
                cursor = Cursor(label, group, self._start_ticket(start), Waiters(self._lock))
                self._cursors.append(cursor)
                self._floor = min(self._floor, cursor.ticket)
            cursor.num_members += 1
        return Subscription(self, cursor)

    def statistics(self) -> PeripheralStatistics:
        with self._lock:
            tail = self._ring.tail
            for cursor in self._cursors:
                self._note_lag(tail - cursor.ticket)
            return PeripheralStatistics(
                name=self.name,
                mode=self.mode,
                capacity=self.capacity,
                record_bytes=self.record_bytes,
                pushed=tail - self._ring.first_ticket,
                popped=self._popped,
                refused=self._refused,
                lost=self._lost,
                bytes_copied=self._bytes_copied,
                depth=min(self.capacity, max((tail - c.ticket for c in self._cursors), default=0)),
                high_water=self._high_water,
                push_to_pop=self._latency.percentiles(),
                subscriptions=tuple(c.statistics(tail) for c in self._cursors),
            )

    def close(self) -> None:
        """No more pushes. Subscribers receive what is left, then MailboxClosed. Safe to call twice."""
        with self._lock:
            self._is_closed = True
            self._room.notify()
            for cursor in self._cursors:
                cursor.waiters.notify()

    def __enter__(self) -> PeripheralMailbox:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # The methods below are called with the lock held.

    def _append(self, copies: np.ndarray) -> None:
        if len(copies):
            self._ring.write_many(copies, self._now_ns())
            self._bytes_copied += len(copies) * self.record_bytes
            self._notify_readers()

    def _append_as_room_comes(self, copies: np.ndarray, timeout_secs: float) -> int:
        end_secs = time.monotonic() + timeout_secs
        num_taken = 0
        while num_taken < len(copies):
            self._room.wait_for(self._is_room_or_closed, end_secs - time.monotonic())
            if self._is_closed and not num_taken:
                self._raise_if_closed()
            room = self.capacity - (self._ring.tail - self._refresh_floor())
            if self._is_closed or room <= 0:
                break
            self._append(copies[num_taken : num_taken + room])
            num_taken = min(num_taken + room, len(copies))
        return num_taken

    def _has_room(self, timeout_secs: float) -> bool:
        has_room = self._ring.tail - self._floor < self.capacity or self._room.wait_for(
            self._is_room_or_closed, timeout_secs
        )
        self._raise_if_closed()
        return has_room

    def _is_room_or_closed(self) -> bool:
        return self._is_closed or self._ring.tail - self._refresh_floor() < self.capacity

    def _refresh_floor(self) -> int:
        self._floor = min((cursor.ticket for cursor in self._cursors), default=self._ring.tail)
        return self._floor

    def _raise_if_closed(self) -> None:
        if self._is_closed:
            raise MailboxClosed(f"{self.name}: the mailbox was closed")

    def _start_ticket(self, start: Start) -> int:
        if start == "latest":
            return self._ring.tail
        if start == "oldest":
            return self._ring.oldest
        if isinstance(start, int) and self._ring.first_ticket <= start <= self._ring.tail:
            return start
        raise InputError(
            f'{self.name}: start is {start!r}: give "latest", "oldest" or a ticket '
            f"from {self._ring.first_ticket} to {self._ring.tail}"
        )

    def _notify_readers(self) -> None:
        for cursor in self._cursors:
            if cursor.waiters.is_watched:
                cursor.waiters.notify()

    def _note_lag(self, lag: int) -> None:
        # a cursor's lag is largest just before a pop: called there and in statistics
        self._high_water = max(self._high_water, min(lag, self.capacity))

    def _take(self, cursor: Cursor, max_records: int, out: np.ndarray | None) -> Batch:
        ring = self._ring
        lag = ring.tail - cursor.ticket
        lost = lag - self.capacity if lag > self.capacity else 0
        if lag > self._high_water:
            self._note_lag(lag)
        first = cursor.ticket + lost
        num_records = min(lag - lost, max_records)
        records = ring.read(first, num_records, out)
        if num_records:
            self._latency.add(self._now_ns() - ring.pushed_ns(first))
        cursor.advance(num_records, lost)
        self._popped += num_records
        self._lost += lost
        self._bytes_copied += num_records * self.record_bytes
        if cursor.ticket == ring.tail and cursor.waiters.is_watched and not self._is_closed:
            cursor.waiters.rearm()
        if self._room.is_watched:
            self._room.notify()
        return Batch(records=records, lost=lost, first_ticket=first)

    def _leave(self, cursor: Cursor) -> None:
        cursor.num_members -= 1
        if not cursor.num_members:
            self._cursors.remove(cursor)
        self._room.notify()  # a writer may wait for this cursor
        cursor.waiters.notify()


class Subscription:
    """The receiving end. Use it from one thread; several threads each subscribe to one group."""

    def __init__(self, mailbox: PeripheralMailbox, cursor: Cursor) -> None:
        self._mailbox = mailbox
        self._cursor = cursor
        self._is_closed = False

    def pop_many(
        self, max_records: int, *, timeout_secs: float = 0.0, out: np.ndarray | None = None
    ) -> Batch:
        """Up to `max_records` records, as soon as there is one; an empty batch after `timeout_secs`.

        out: (n,) of the ring's dtype, contiguous, n >= max_records; then batch.records is a view of it.
        Raises MailboxClosed if this subscription is closed, or if the mailbox is closed and nothing is left.
        """
        self._check(max_records, out)
        mailbox = self._mailbox
        with mailbox._lock:
            if self._cursor.ticket == mailbox._ring.tail or self._is_closed:
                self._cursor.waiters.wait_for(self._is_ready, timeout_secs)
                self._raise_if_ended()
            return mailbox._take(self._cursor, max_records, out)

    def try_pop_many(self, max_records: int, *, out: np.ndarray | None = None) -> Batch:
        """`pop_many` that never waits."""
        return self.pop_many(max_records, timeout_secs=0.0, out=out)

    def fileno(self) -> int:
        """A descriptor for an event loop's `add_reader`: readable when a pop may return records or raise."""
        with self._mailbox._lock:
            descriptor = self._cursor.waiters.fileno()
            if self._is_ready():
                self._cursor.waiters.notify()
        return descriptor

    def close(self) -> None:
        """Unsubscribe. Unread records no longer block a lossless writer. Safe to call twice."""
        with self._mailbox._lock:
            if not self._is_closed:
                self._is_closed = True
                self._mailbox._leave(self._cursor)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _is_ready(self) -> bool:
        return self._cursor.ticket != self._mailbox._ring.tail or self._is_closed or self._mailbox._is_closed

    def _raise_if_ended(self) -> None:
        if self._is_closed:
            raise MailboxClosed(f"{self._mailbox.name}: this subscription was closed")
        if self._cursor.ticket == self._mailbox._ring.tail:
            self._mailbox._raise_if_closed()

    def _check(self, max_records: int, out: np.ndarray | None) -> None:
        if max_records < 1:
            raise InputError(f"max_records is {max_records}: give 1 or more")
        if out is None:
            return
        if (
            out.dtype != self._mailbox.dtype
            or out.ndim != 1
            or len(out) < max_records
            or not out.flags.c_contiguous
        ):
            raise InputError(
                f"out has shape {out.shape} and {out.dtype.itemsize}-byte items: "
                f"give a contiguous ({max_records},) of record_dtype({self._mailbox.record_bytes})"
            )
