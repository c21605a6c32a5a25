"""Focus pools in memory that the processor and a GPU of several processes share, as on a Jetson.

The pool is a file in /dev/shm that each process registers with CUDA (mapped): arrays of the host and tensors
of the device have the same bytes, nothing is copied. Control, rules and telemetry are those of `SharedFocus`.
Invariant: no call from `loan` to `release` on the device blocks the host, and a slot is reused only after all
work that was queued on it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from sage.mailbox.clock import Clock
from sage.mailbox.contract import RecordSink
from sage.mailbox.cuda.backend import open_driver
from sage.mailbox.cuda.driver import CudaError, DeviceFacts, Driver
from sage.mailbox.cuda.ipc import Watchdog
from sage.mailbox.cuda.keeper import Job, Keeper
from sage.mailbox.cuda.order import EventFence, EventPool
from sage.mailbox.cuda.unified_probe import why_not_shared
from sage.mailbox.cuda.writings import OtherWriting, SlotEvents
from sage.mailbox.handles import Lease, Loan
from sage.mailbox.options import check_weights
from sage.mailbox.shared.focus import layout as layout
from sage.mailbox.shared.focus.control import Control
from sage.mailbox.shared.focus.demotion import describe_if_written
from sage.mailbox.shared.focus.events import Work
from sage.mailbox.shared.focus.layout import Form, index_of
from sage.mailbox.shared.focus.ordered import MakeExchange, OrderedExchange


class UnifiedBackend:
    """A GPU for `SharedFocus.create(..., backend=...)` and `attach`.

    `.array` is a numpy array and waits on the host for queued work; `.tensor` is a tensor of the device.
    stream: the driver's handle of the one stream that all work is queued on; None: torch's current one at
    each call.  driver: None opens the installed one and raises CudaError with the reason if `why_not_shared`
    finds one; then use `FocusMailbox(backend=CudaBackend(placement="auto"))` in one process.
    """

    def __init__(self, device: int = 0, *, stream: int | None = None, driver: Driver | None = None) -> None:
        if driver is None:
            driver = open_driver(device)
            if reason := why_not_shared(device):
                raise CudaError(
                    f"cuda:{device} shares no memory with other processes, because {reason}: use"
                    ' FocusMailbox with CudaBackend(placement="auto") in one process'
                )
        self.driver = driver
        self.stream = stream
        self.name = f"cuda:{driver.facts.index} unified"
        #: Messages whose writer died before its device work was done, found by streams that waited for it.
        self.num_orphans = 0
        self._watchdog: Watchdog | None = None

    @property
    def facts(self) -> DeviceFacts:
        return self.driver.facts

    @property
    def exchange(self) -> MakeExchange:
        return partial(UnifiedExchange, self)

    @property
    def watchdog(self) -> Watchdog:
        """Opens the gates of this process's streams; made on first use."""
        if self._watchdog is None:
            self._watchdog = Watchdog(self.driver)
            self._watchdog.start()
        return self._watchdog

    def count_orphan(self) -> None:
        self.num_orphans += 1


class UnifiedExchange(OrderedExchange):
    """The store of one process with a device."""

    def __init__(
        self,
        backend: UnifiedBackend,
        control: Control,
        *,
        name: str,
        clock: Clock,
        demoted: RecordSink | None,
    ) -> None:
        super().__init__(control, name=name, clock=clock, demoted=demoted)
        self._backend = backend
        self._driver = driver = backend.driver
        segment, num_slots = control.segment, control.words[layout.SLOTS]
        pool = driver.register(
            segment.address + layout.CONTROL_BYTES,
            num_slots * control.words[layout.STRIDE_BYTES],
            segment.memory,
        )
        self.pool.keep_alive(pool.owner)
        self._memory = driver.pool(pool, backend.stream)
        self._events = SlotEvents(driver, self.rows)
        self._marks = EventPool(driver, num_slots)
        self._streams: dict[tuple[int, int], set[int]] = {}  # by place and generation: streams with work
        self._keeper = Keeper()
        self.holdings.end_later = self._end_later

    def enter(self) -> None:
        num_forks = self._joined
        super().enter()
        if num_forks != self._joined:  # a forked child: all device work is its parent's
            self._streams.clear()
            self._events.reset()
            self._keeper.reset()
        self._keeper.poll()

    def lend(self, form: Form, producer: int, trust: float) -> Loan | int:
        self.enter()
        return super().lend(form, producer, trust)

    def take(self, *, newest: bool) -> Lease | None:
        self.enter()
        return super().take(newest=newest)

    def view_lease(self, lease: Lease) -> np.ndarray:
        """At the address of the tensor; read-only by numpy's flag alone, not by its pages."""
        self._settle_lease(lease)
        memory = memoryview(self.pool.memory_of(lease.index)).toreadonly()
        return np.ndarray(lease.form.shape, lease.form.dtype, memory)

    def tensor_of_loan(self, loan: Loan) -> Any:
        self._raise_unless_loaned(loan)
        self._join(loan, self._current())
        return self._memory.tensor(self.pool.memory_of(loan.index), loan.form.spec)

    def tensor_of_lease(self, lease: Lease) -> Any:
        self._check(lease)
        self._join(lease, self._current())
        return self._memory.tensor(self.pool.memory_of(lease.index), lease.form.spec)

    def dlpack(self, lease: Lease, stream: int | None, options: dict[str, Any]) -> Any:
        if stream is None:
            return super().dlpack(lease, stream, options)  # a host library
        self._check(lease)
        self._join(lease, 0 if stream in (-1, 0, 1) else stream)
        tensor = self._memory.tensor(self.pool.memory_of(lease.index), lease.form.spec)
        return tensor.__dlpack__(stream=-1)

    def publish(
        self, loan: Loan, stamp_ns: int, sequence: int, trust: float, quality: float, ttl_ns: int | None
    ) -> bool:
        check_weights(self._name, trust, quality)
        if not loan.is_ended and loan.epoch == self.epoch:
            self._mark_writing(loan.place, loan.generation, must_wait=bool(self._is_debug))
        return super().publish(loan, stamp_ns, sequence, trust, quality, ttl_ns)

    def discard(self, loan: Loan) -> None:
        if not loan.is_ended and loan.epoch == self.epoch:
            self._mark_writing(loan.place, loan.generation)
        super().discard(loan)

    def release(self, lease: Lease) -> None:
        """The slot is returned once the work queued on it is complete; the handle ends now."""
        self._check(lease)
        fence = self._fence(lease.place, lease.generation)
        if fence is None or fence.is_passed():
            super().release(lease)
            return
        if self.holdings.trace is not None:
            self.holdings.note(lease, self._now_ns())
        self.holdings.open.pop(lease.place, None)
        lease.end()
        writer = describe_if_written(self.control, self.pool, lease) if self._is_debug else ""
        place, generation, received_ns = lease.place, lease.generation, lease.received_ns
        self._keeper.add(Job(fence.is_passed, partial(self._give_back, place, generation, received_ns)))
        if writer:
            self.raise_written(writer)

    def close(self, *, for_all: bool) -> None:
        super().close(for_all=for_all)
        self._keeper.poll()

    def is_complete(self, work: Work) -> bool:
        if super().is_complete(work):
            return True
        try:
            return self._writing(work).is_done()
        except CudaError:  # the event may be gone with its process; the row says whether the work was done
            return False

    def _check(self, lease: Lease) -> None:
        if lease.is_ended or lease.epoch != self.epoch:
            self._raise_ended(lease)

    def _current(self) -> int:
        stream = self._backend.stream
        stream = self._driver.current_stream("tensor") if stream is None else stream
        if self._driver.is_capturing(stream):
            raise CudaError(
                "a mailbox was called inside a graph capture: capture only the work on the tensor, and loan,"
                " publish, receive and release around each replay"
            )
        return stream

    def _join(self, handle: Loan | Lease, stream: int) -> None:
        """Once per stream and generation: the stream waits for all incomplete work on the slot."""
        streams = self._streams.setdefault((handle.place, handle.generation), set())
        if stream in streams:
            return
        for work in self.rows.outstanding(handle.index):
            if work.participant == self.control.me:
                self._driver.wait(stream, self._events.mine(work.slot))
            else:
                self._backend.watchdog.order(stream, self._writing(work))
        streams.add(stream)

    def _writing(self, work: Work) -> OtherWriting:
        return OtherWriting(
            driver=self._driver,
            rows=self.rows,
            work=work,
            event=self._events.mine(work.slot)
            if work.participant == self.control.me
            else self._events.of(work),
            call=self._backend.count_orphan,
        )

    def _mark_writing(self, place: int, generation: int, *, must_wait: bool = False) -> None:
        """Record the slot's event after the writer's work, which readers and the next writer wait for."""
        streams = self._streams.pop((place, generation), None)
        if not streams:
            return
        slot, main = index_of(place), self._current()
        marks = [self._marks.mark(stream) for stream in streams - {main}]
        for mark in marks:
            self._driver.wait(main, mark.event)
        self._marks.give_back(marks)
        event, me = self._events.mine(slot), self.control.me
        self._driver.record(event, main)
        self.rows.record(slot, me, generation, self._events.handle(slot))
        if must_wait:
            self._driver.synchronize(main)  # sync: debug mode computes a checksum
        self._keeper.add(
            Job(partial(self._driver.is_done, event), partial(self.rows.finish, slot, me, generation))
        )

    def _fence(self, place: int, generation: int) -> EventFence | None:
        """The reader's work so far; None if it queued none."""
        streams = self._streams.pop((place, generation), None)
        if not streams:
            return None
        fence = EventFence(self._driver, self._marks)
        fence.add([self._marks.mark(stream) for stream in streams | {self._current()}])
        return fence

    def _end_later(self, place: int, generation: int, received_ns: int | None) -> bool:
        """A handle was dropped without an end: its work is marked as if it had ended."""
        if received_ns is None:
            self._mark_writing(place, generation)
            return False
        fence = self._fence(place, generation)
        if fence is None or fence.is_passed():
            return False
        self._keeper.add(Job(fence.is_passed, partial(self.holdings.abandon, place, generation, received_ns)))
        return True

    def _give_back(self, place: int, generation: int, received_ns: int) -> None:
        """Release a lease in the table, after its last work."""
        viewed = self.control.bit if self.pool.is_viewed(index_of(place)) else 0
        answer = self.control.release(place, generation, viewed, self._now_ns(), received_ns)
        if viewed or answer < 0 or self.is_closed:
            self._has_ended(place, viewed, answer)

    def _leave_if_over(self) -> None:
        if self._keeper.is_empty:
            super()._leave_if_over()
