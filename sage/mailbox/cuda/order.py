"""Ordering of work on a device: events are recorded after queued work, and later work waits for them.

Readers wait for the writer's events; the readers' events are the fence of the slot; without a reader the next
writer waits for the last writer's events. Invariant: an event returns to its pool only after its last wait
was queued or it has passed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sage.mailbox.cuda.driver import LEGACY_STREAM, CudaError, Driver, Streams
from sage.mailbox.local.backend import Fence, Surface

#: Not a stream: work on this view runs on the processor.
HOST = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A point in a stream, after all work queued before the event."""

    event: int
    stream: int


class EventPool:
    """Preallocated, reused events. The pool grows if more are in use than ever before; `num_made` is its
    size.
    """

    def __init__(self, driver: Streams, num_events: int) -> None:
        self._driver = driver
        self._free = [driver.create_event() for _ in range(num_events)]
        self.num_made = num_events

    def mark(self, stream: int) -> Mark:
        try:
            event = self._free.pop()
        except IndexError:
            event = self._driver.create_event()
            self.num_made += 1
        self._driver.record(event, stream)
        return Mark(event=event, stream=stream)

    def give_back(self, marks: list[Mark]) -> None:
        self._free.extend(mark.event for mark in marks)
        marks.clear()


class EventFence:
    """The readers' work on any number of streams. It can grow while views outlive their release."""

    def __init__(self, driver: Streams, pool: EventPool) -> None:
        self._driver = driver
        self._pool = pool
        self._marks: list[Mark] = []

    def add(self, marks: Iterable[Mark]) -> None:
        self._marks.extend(marks)

    def is_passed(self) -> bool:
        if not all(self._driver.is_done(mark.event) for mark in self._marks):
            return False
        self._pool.give_back(self._marks)
        return True


@dataclass(slots=True)
class _Trace:
    """One generation of a slot.  before: the first writer waits for these.  ready: readers wait for these."""

    before: list[Mark] = field(default_factory=list)
    ready: list[Mark] = field(default_factory=list)
    writers: list[int] = field(default_factory=list)
    readers: list[int] = field(default_factory=list)
    surfaces: set[Surface] = field(default_factory=set)
    fence: EventFence | None = None


class StreamOrder:
    """The order of a pool whose work is queued on streams. Called under the mailbox's lock; never blocks the
    host.

    stream: of all work, or None: the current one of the view's library, at each view, at publish and at
    release.  host_surface: the view that the host reads and writes, if any; the host waits instead of a
    stream.
    """

    def __init__(
        self,
        driver: Driver,
        *,
        num_slots: int,
        stream: int | None = None,
        host_surface: Surface | None = None,
    ) -> None:
        self._driver = driver
        self._stream = stream
        self._host_surface = host_surface
        self._events = EventPool(driver, 2 * num_slots + 2)
        self._traces = [_Trace() for _ in range(num_slots)]

    @property
    def num_events(self) -> int:
        return self._events.num_made

    def writing(self, index: int, surface: Surface) -> None:
        trace = self._traces[index]
        self._join(trace.writers, trace.before, self._current(surface))
        trace.surfaces.add(surface)

    def written(self, index: int) -> None:
        trace = self._traces[index]
        for surface in trace.surfaces:
            self._join(trace.writers, trace.before, self._current(surface))
        if trace.writers:
            self._events.give_back(trace.before)  # every writer's stream waits for them already
            trace.ready = self._mark(trace.writers)
        else:
            trace.ready, trace.before = (
                trace.before,
                [],
            )  # the memory was not used: earlier work is still outstanding
        trace.writers.clear()
        trace.surfaces.clear()

    def reading(self, index: int, surface: Surface, stream: int | None = None) -> None:
        trace = self._traces[index]
        self._join(
            trace.readers, trace.ready, self._current(surface) if stream is None else _handle_of(stream)
        )
        if stream is not None:
            return  # with a given stream the current one is not used
        trace.surfaces.add(surface)

    def retired(self, index: int, *, is_holder: bool) -> Fence | None:
        trace = self._traces[index]
        if not trace.readers:
            if trace.writers:
                self._events.give_back(trace.before)
            trace.before += trace.ready
            trace.before += self._mark(trace.writers)
            trace.ready = []
            return None
        if is_holder:
            for surface in trace.surfaces:
                self._join(trace.readers, trace.ready, self._current(surface))
        if trace.fence is None:
            trace.fence = EventFence(self._driver, self._events)
        trace.fence.add(self._mark(trace.readers))
        self._events.give_back(trace.ready)
        return trace.fence

    def freed(self, index: int) -> None:
        trace = self._traces[index]
        trace.writers.clear()
        trace.readers.clear()
        trace.surfaces.clear()
        trace.fence = None

    def _current(self, surface: Surface) -> int:
        if surface == self._host_surface:
            return HOST
        stream = self._driver.current_stream(surface) if self._stream is None else self._stream
        if self._driver.is_capturing(stream):
            raise CudaError(
                "a mailbox was called inside a graph capture: capture only the work on the tensor, and loan,"
                " publish, receive and release around each replay (see SlotGraphs)"
            )
        return stream

    def _mark(self, streams: list[int]) -> list[Mark]:
        return [
            self._events.mark(stream) for stream in streams if stream != HOST
        ]  # the host's work is complete when its call returns

    def _join(self, streams: list[int], marks: list[Mark], stream: int) -> None:
        """Once per stream and generation: the stream waits for the marks of the others."""
        if stream in streams:
            return
        for mark in marks:
            if stream == HOST:
                self._driver.synchronize(mark.stream)  # sync: the host reads what a kernel wrote
            elif mark.stream != stream:  # work on one stream is ordered already
                self._driver.wait(stream, mark.event)
        streams.append(stream)


def _handle_of(dlpack_stream: int) -> int:
    """DLPack's stream numbers for CUDA: 1 is the legacy stream, -1 requests no order (ordered anyway), others
    are handles.
    """
    return LEGACY_STREAM if dlpack_stream in (-1, 0, 1) else dlpack_stream
