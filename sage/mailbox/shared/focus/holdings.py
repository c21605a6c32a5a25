"""What one process holds of a shared pool: open handles, and views that outlive their handle.

Invariant: dropped handles and ended views are found by checking; no finalizer runs in the garbage collector
or in a forked child.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from sage.mailbox.handles import Lease, Loan
from sage.mailbox.shared.focus import layout as layout
from sage.mailbox.shared.focus.control import Control
from sage.mailbox.shared.focus.ending import unview
from sage.mailbox.shared.focus.layout import index_of
from sage.mailbox.shared.focus.pool import SharedPool
from sage.mailbox.shared.focus.rules import abandon
from sage.mailbox.shared.memory.feeder import Feeder
from sage.mailbox.trace import MessageTrace, TracedMessage


class _Forks:
    """The number of forks between this process and the one that loaded the module."""

    count = 0


FORKS = _Forks()


def _count_fork() -> None:
    FORKS.count += 1


os.register_at_fork(after_in_child=_count_fork)


class Holdings:
    """By the places of the slots in the table."""

    def __init__(self, control: Control, pool: SharedPool) -> None:
        self._control = control
        self._pool = pool
        self.trace: MessageTrace | None = None
        #: Called with place, generation and time of receipt of a handle that was dropped without an end; True
        #: when it ends the handle itself, later.
        self.end_later: Callable[[int, int, int | None], bool] | None = None
        self.forget()

    def forget(self) -> None:
        """After a fork all of it belongs to the parent."""
        self._num_forks = FORKS.count
        #: References to open handles, which are None once a handle was dropped or could not be ended in the
        #: table, with generation and time of receipt (None for a loan).
        self.open: dict[int, tuple[Callable[[], Any], int, int | None]] = {}
        self.viewed: set[int] = set()  # slots with this process's bit in VIEWED
        self._sweeping = threading.Lock()
        self.feeder: Feeder | None = None  # writes the descriptor for event loops
        self._pool.forget()

    @property
    def is_empty(self) -> bool:
        return not (self.open or self.viewed)

    def note(self, lease: Lease, released_ns: int) -> None:
        """Add the message of a lease that ends to the trace."""
        if self.trace is not None:
            self.trace.add(traced(self._control, lease, released_ns))

    def end(self, handle: Loan | Lease) -> int:
        """End the handle; returns this process's bit if a view taken from it exists, else 0."""
        place = handle.place
        self.open.pop(place, None)
        handle.end()
        return self._control.bit if self._pool.is_viewed_at(place) else 0

    def put_back(self, handle: Loan | Lease, received_ns: int | None) -> None:
        """The handle was ended here, but the table may still have it: a sweep ends it there."""
        self.open.setdefault(handle.place, (_dropped, handle.generation, received_ns))

    def keep(self, place: int) -> None:
        """The slot has this process's bit in VIEWED until a sweep finds no view of it."""
        self.viewed.add(place)

    def pop_ended(self) -> int:
        """A kept slot whose views have ended, or -1; the caller must clear its bit in the table."""
        for place in tuple(self.viewed):
            if not self._pool.is_viewed(index_of(place)):
                self.viewed.discard(place)
                return place
        return -1

    def sweep(self) -> None:
        if self.is_empty or self._num_forks != FORKS.count:
            return  # a forked child's table entries belong to its parent
        if not self._sweeping.acquire(blocking=False):
            return  # another thread is doing it
        try:
            for place in tuple(self.viewed):
                if not self._pool.is_viewed(index_of(place)):
                    self.viewed.discard(place)
                    try:
                        self._control.run(unview, place, self._control.bit)
                    except BaseException:
                        self.viewed.add(place)
                        raise
            for place, held in tuple(self.open.items()):
                handle, generation, received_ns = held
                if handle() is None and self.open.pop(place, None) is held:
                    try:
                        self._abandon(place, generation, received_ns)
                    except BaseException:
                        self.open.setdefault(place, held)
                        raise
        finally:
            self._sweeping.release()

    def _abandon(self, place: int, generation: int, received_ns: int | None) -> None:
        if self.end_later is None or not self.end_later(place, generation, received_ns):
            self.abandon(place, generation, received_ns)

    def abandon(self, place: int, generation: int, received_ns: int | None) -> None:
        """End a dropped handle in the table."""
        control = self._control
        viewed = control.bit if self._pool.is_viewed(index_of(place)) else 0
        if viewed:
            self.viewed.add(place)
        if received_ns is None:
            control.run(abandon, place, generation, control.me, viewed)
        else:
            control.release(place, generation, viewed, received_ns, received_ns, is_orphan=1)


def _dropped() -> None:
    """In place of a reference to a handle that has ended."""


def traced(control: Control, lease: Lease, released_ns: int) -> TracedMessage:
    meta = lease.meta
    return TracedMessage(
        mailbox=control.segment.name,
        slot=lease.index,
        generation=lease.generation,
        producer=meta.producer,
        sequence=meta.sequence,
        num_bytes=lease.form.spec.num_bytes,
        captured_ns=meta.stamp_ns,
        published_ns=control.words[lease.place + layout.PUSHED_NS],
        received_ns=lease.received_ns,
        released_ns=released_ns,
    )
