"""A CUDA driver without a GPU: device memory is host memory, streams are queues that a test can hold.

It has the semantics of real streams: queued work runs later than the call; a wait is for the event's record
queued at that time; an event that is recorded again is not done until the new record is. Invariant: an
operation runs only after all earlier ones on its stream and every record that it waits for.
"""

from __future__ import annotations

import ctypes
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sage.mailbox.cuda.driver import LEGACY_STREAM, Allocation, CudaError, DeviceFacts
from sage.mailbox.cuda.views import host_view
from sage.mailbox.local.backend import HostBackend, PoolMemory, Surface
from sage.mailbox.local.slot import HostMemory
from sage.mailbox.tensor_spec import TensorSpec


@dataclass(slots=True)
class FakeStream:
    """clock: number of operations that have run.  queue: (condition, operation)."""

    queue: deque[tuple[Callable[[], bool], Callable[[], None]]] = field(default_factory=deque)
    clock: int = 0
    is_held: bool = False
    is_capturing: bool = False


@dataclass(slots=True)
class _Event:
    recorded: int = 0
    done: int = 0


@dataclass(slots=True)
class FakeCounts:
    """Counts of the mailbox's driver calls; tests use them to show no copy, no sync and no allocation."""

    copies: int = 0
    synchronizations: int = 0
    allocations: int = 0
    opened_memories: int = 0
    records: int = 0
    waits: int = 0


class FakeDriver:
    """Streams run immediately unless held. `launch` queues a kernel; `on` makes a stream current."""

    _handles = itertools.count(1 << 32)
    _exported: dict[bytes, Any] = {}  # shared by all fakes, as handles are by all processes of a machine  # noqa: RUF012

    def __init__(
        self,
        *,
        device: int = 0,
        num_devices: int = 1,
        is_integrated: bool = False,
        has_peers: bool = False,
        segments: bool = False,
    ) -> None:
        self.facts = DeviceFacts(
            index=device,
            name="fake",
            capability=(8, 7) if is_integrated else (9, 0),
            is_integrated=is_integrated,
            has_memory_ipc=not is_integrated,
            num_devices=num_devices,
        )
        self.counts = FakeCounts()
        self._streams: dict[int, FakeStream] = {LEGACY_STREAM: FakeStream()}
        self._current = [LEGACY_STREAM]
        self._events: dict[int, _Event] = {}
        self._has_peers = has_peers
        self._segments = segments

    # Called by tests.

    def create_stream(self) -> int:
        handle = next(self._handles)
        self._streams[handle] = FakeStream()
        return handle

    @contextmanager
    def on(self, stream: int) -> Iterator[None]:
        self._current.append(stream)
        try:
            yield
        finally:
            self._current.pop()

    def hold(self, stream: int) -> None:
        """Run nothing queued on it until `resume`, as behind a slow kernel."""
        self._streams[stream].is_held = True

    def resume(self, stream: int) -> None:
        self._streams[stream].is_held = False
        self._run()

    def step(self, stream: int) -> bool:
        """Run one operation of a held stream; False if there is none, or it waits for another stream."""
        has_run = self._run_one(self._streams[stream])
        self._run()
        return has_run

    def launch(self, stream: int, kernel: Callable[[], None]) -> None:
        self._queue(stream, kernel)

    def clock(self, stream: int) -> int:
        return self._streams[stream].clock

    @contextmanager
    def capture(self, stream: int) -> Iterator[None]:
        self._streams[stream].is_capturing = True
        try:
            yield
        finally:
            self._streams[stream].is_capturing = False

    # Called by the mailbox.

    def create_event(self, *, is_shared: bool = False) -> int:
        handle = next(self._handles)
        self._events[handle] = _Event()
        return handle

    def record(self, event: int, stream: int) -> None:
        self.counts.records += 1
        found = self._events[event]
        found.recorded = number = found.recorded + 1

        def finish() -> None:
            found.done = max(found.done, number)

        self._queue(stream, finish)

    def wait(self, stream: int, event: int) -> None:
        self.counts.waits += 1
        found, number = self._events[event], self._events[event].recorded
        self._queue(stream, _nothing, lambda: found.done >= number)

    def is_done(self, event: int) -> bool:
        return self._events[event].done >= self._events[event].recorded

    def is_capturing(self, stream: int) -> bool:
        return self._streams[stream].is_capturing

    def wait_value(self, stream: int, address: int, value: int) -> None:
        word = ctypes.c_uint32.from_address(address)
        self._queue(stream, _nothing, lambda: (word.value - value) & 0xFFFFFFFF < 1 << 31)

    def allocate(self, num_bytes: int) -> Allocation:
        self.counts.allocations += 1
        memory = HostBackend().allocate(num_bytes)
        return Allocation(address=memory.ctypes.data, num_bytes=num_bytes, owner=memory)

    def allocate_mapped(self, num_bytes: int) -> Allocation:
        memory = self.allocate(num_bytes)
        return Allocation(
            address=memory.address, num_bytes=num_bytes, owner=memory.owner, host_address=memory.address
        )

    def register(self, address: int, num_bytes: int, owner: Any) -> Allocation:
        return Allocation(address=address, num_bytes=num_bytes, owner=owner, host_address=address)

    def enable_peer(self, peer: int) -> bool:
        return self._has_peers

    def copy(self, target: int, source: int, num_bytes: int, stream: int) -> None:
        self.counts.copies += 1
        self._queue(stream, lambda: _move(target, source, num_bytes))

    def synchronize(self, stream: int) -> None:
        self.counts.synchronizations += 1
        self._run()
        if self._streams[stream].queue:
            raise CudaError("synchronize on a stream that is held: a real host would hang here")

    def is_idle(self, stream: int) -> bool:
        return not self._streams[stream].queue

    def is_shareable(self, address: int) -> bool:
        return not self._segments

    def export_memory(self, address: int) -> bytes:
        return self._export(address)

    def open_memory(self, handle: bytes) -> Allocation:
        self.counts.opened_memories += 1
        return Allocation(address=self._exported[handle], num_bytes=0, owner=None)

    def export_event(self, event: int) -> bytes:
        return self._export(self._events[event])

    def open_event(self, handle: bytes) -> int:
        if handle not in self._exported:
            raise CudaError("cuIpcOpenEventHandle failed with 201: the handle is of another process")
        event = next(self._handles)
        self._events[event] = self._exported[handle]
        return event

    def current_stream(self, surface: Surface) -> int:
        return self._current[-1]

    def pool(self, allocation: Allocation, stream: int | None = None) -> PoolMemory:
        return FakeMemory(self, allocation, stream)

    def run(self) -> None:
        """Run operations that waited for another driver's event or for a word set by the host."""
        self._run()

    def _export(self, value: Any) -> bytes:
        handle = next(self._handles).to_bytes(64, "little")
        self._exported[handle] = value
        return handle

    def _queue(
        self, stream: int, work: Callable[[], None], may_run: Callable[[], bool] | None = None
    ) -> None:
        self._streams[stream].queue.append((may_run or _always, work))
        self._run()

    def _run(self) -> None:
        while any([not stream.is_held and self._run_one(stream) for stream in self._streams.values()]):
            pass

    def _run_one(self, stream: FakeStream) -> bool:
        if not stream.queue or not stream.queue[0][0]():
            return False
        stream.queue.popleft()[1]()
        stream.clock += 1
        return True


class FakeMemory:
    """A pool of a fake device: viewed as on the host; copies into it are queued."""

    def __init__(self, driver: FakeDriver, allocation: Allocation, stream: int | None) -> None:
        self._driver = driver
        self._stream = stream
        self._host = HostMemory(host_view(replace(allocation, host_address=allocation.address)))
        self.address = allocation.address
        self.dlpack_device = self._host.dlpack_device
        self.buffer = self._host.buffer
        self.array = self._host.array
        self.tensor = self._host.tensor
        self.accept = self._host.accept

    def surface_of(self, source: Any) -> Surface:
        return "tensor"

    def copy_into(self, buffer: Any, spec: TensorSpec, source: np.ndarray) -> None:
        staged = source.copy()  # the driver reads pageable memory before it returns
        address, num_bytes = ctypes.addressof(buffer), ctypes.sizeof(buffer)
        self._launch(lambda: self._host.copy_into(self._host.buffer(address, num_bytes), spec, staged))

    def fill(self, address: int, array: np.ndarray) -> None:
        staged = array.copy()
        self._launch(lambda: self._host.fill(address, staged))

    def read(self, address: int, num_bytes: int) -> memoryview:
        self._driver.synchronize(self._current())
        return self._host.read(address, num_bytes)

    def _launch(self, kernel: Callable[[], None]) -> None:
        self._driver.counts.copies += 1
        self._driver.launch(self._current(), kernel)

    def _current(self) -> int:
        return self._driver.current_stream("tensor") if self._stream is None else self._stream


def _move(target: int, source: int, num_bytes: int) -> None:
    ctypes.memmove(target, source, num_bytes)


def _nothing() -> None:
    return


def _always() -> bool:
    return True
