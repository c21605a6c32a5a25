"""A pool of device memory in several processes, and streams that wait for work of other processes.

A discrete GPU shares a whole allocation by its IPC handle; an integrated one (Tegra) has no such handles, so
the pool is a file in /dev/shm that each process registers. Invariant: a process opens a pool once, and its
streams never wait for another process directly: they wait for a word of this process (a gate), which the
watchdog sets when the other's event has passed or its process is dead.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import tempfile
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from sage.errors import InputError
from sage.mailbox.cuda.driver import Allocation, CudaError, Driver
from sage.mailbox.cuda.views import host_view

POLL_SECS = 0.0005
NUM_GATES = 256
SHM = Path("/dev/shm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A process, distinct from a later one with the same pid by its start time."""

    pid: int
    start_ticks: int

    @classmethod
    def of(cls, pid: int) -> Owner:
        return cls(pid=pid, start_ticks=_start_ticks(pid) or 0)

    def is_alive(self) -> bool:
        return _start_ticks(self.pid) == self.start_ticks


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTicket:
    """What another process needs to open a pool: plain values, which can be sent by any means.

    kind: "ipc": memory is a handle; "registered": memory is a path.  events: a handle per slot, for both.
    """

    kind: Literal["ipc", "registered"]
    owner: Owner
    num_bytes: int
    memory: bytes
    events: tuple[bytes, ...]


class SharedPool:
    """The owner's side: the memory, and one event per slot that marks the end of its writing."""

    def __init__(self, driver: Driver, *, num_bytes: int, num_slots: int, folder: Path = SHM) -> None:
        if num_bytes < 1 or num_slots < 1:
            raise InputError(f"num_bytes is {num_bytes}, num_slots is {num_slots}: give 1 or more of both")
        self._driver = driver
        kind: Literal["ipc", "registered"] = "registered" if not driver.facts.has_memory_ipc else "ipc"
        if kind == "ipc":
            self.allocation = driver.allocate(num_bytes)
            memory = export(driver, self.allocation.address)
        else:
            path = make_file(num_bytes, folder)
            self.allocation, memory = register_file(driver, path, num_bytes), os.fsencode(path)
            self._unlink = weakref.finalize(self, _remove, path, os.getpid())
        self._events = [driver.create_event(is_shared=True) for _ in range(num_slots)]
        self.ticket = PoolTicket(
            kind=kind, owner=Owner.of(os.getpid()), num_bytes=num_bytes, memory=memory,
            events=tuple(driver.export_event(event) for event in self._events),
        )  # fmt: skip

    def written(self, slot: int, stream: int) -> None:
        """Mark the work queued on `stream` so far as the writing of `slot`. Call it before publishing the
        message.
        """
        self._driver.record(self._events[slot], stream)

    def close(self) -> None:
        """No other process can open a registered pool any more; existing mappings stay."""
        if self.ticket.kind == "registered":
            self._unlink()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedPool:
    """A pool of another process, opened in this one."""

    ticket: PoolTicket
    allocation: Allocation
    events: tuple[int, ...]


class PoolCache:
    """Pools of other processes; each is opened once."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._pools: dict[bytes, OpenedPool] = {}

    def open(self, ticket: PoolTicket) -> OpenedPool:
        """Open a pool, or return the open one. Raises CudaError with the reason if the handle cannot be used
        here; the caller checks whether the owner is alive.
        """
        pool = self._pools.get(ticket.memory)
        if pool is None:
            if (ticket.kind == "ipc") != self._driver.facts.has_memory_ipc:
                raise CudaError(
                    f"a pool of kind {ticket.kind!r} on another kind of device: both processes must use the"
                    " same GPU"
                )
            opened = self._open(ticket)
            events = tuple(self._driver.open_event(handle) for handle in ticket.events)
            pool = self._pools[ticket.memory] = OpenedPool(ticket=ticket, allocation=opened, events=events)
        return pool

    def forget(self, ticket: PoolTicket) -> None:
        """Drop a pool whose owner has ended; the mapping ends with its last view."""
        self._pools.pop(ticket.memory, None)

    def _open(self, ticket: PoolTicket) -> Allocation:
        if ticket.kind == "ipc":
            return self._driver.open_memory(ticket.memory)
        return register_file(self._driver, Path(os.fsdecode(ticket.memory)), ticket.num_bytes)


class Writing(Protocol):
    """Work of another process that a stream waits for."""

    def is_done(self) -> bool:
        """Raises CudaError where the event cannot be queried any more."""
        ...

    def is_alive(self) -> bool:
        """Whether its process is."""
        ...

    def on_orphan(self) -> None:
        """Called when its process died before the work was done."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _SlotWriting:
    """The writing of one slot of an opened pool."""

    driver: Driver
    pool: OpenedPool
    slot: int
    call: Callable[[PoolTicket, int], None]

    def is_done(self) -> bool:
        return self.driver.is_done(self.pool.events[self.slot])

    def is_alive(self) -> bool:
        return self.pool.ticket.owner.is_alive()

    def on_orphan(self) -> None:
        self.call(self.pool.ticket, self.slot)


@dataclass(slots=True)
class _Gate:
    writing: Writing
    word: int
    value: int


class Watchdog:
    """Opens gates when the other process's event has passed, or its process is dead.

    Each wait has its own word until it ends; the next one uses the word with a higher value.
    on_orphan: called with each slot whose writer died before its writing was done; its content is invalid.
    """

    def __init__(
        self, driver: Driver, *, on_orphan: Callable[[PoolTicket, int], None] = lambda ticket, slot: None
    ) -> None:
        self._driver = driver
        self._on_orphan = on_orphan
        self._memory = driver.allocate_mapped(4 * NUM_GATES)
        self._words: np.ndarray = host_view(self._memory).view(np.uint32)  # (NUM_GATES,)
        self._values = [0] * NUM_GATES
        self._free = list(range(NUM_GATES))
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._gates: list[_Gate] = []
        self._is_closed = False
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None

    def wait(self, pool: OpenedPool, slot: int, stream: int) -> None:
        """Order work queued on `stream` from now on after the slot's writing; see `order`."""
        self.order(stream, _SlotWriting(driver=self._driver, pool=pool, slot=slot, call=self._on_orphan))

    def order(self, stream: int, writing: Writing) -> None:
        """Order work queued on `stream` from now on after another process's work. Returns immediately.

        Raises CudaError if no gate can be opened any more: after close, or after an error in the watchdog's
        thread.
        """
        with self._lock:
            if self._is_closed:
                raise CudaError(
                    "the watchdog is closed: this stream would wait forever; create a new one"
                ) from self._error
            if self._is_written(writing):
                return
            if not self._free:
                raise CudaError(
                    f"{NUM_GATES} streams wait for other processes already: receive fewer messages at a time"
                )
            word = self._free.pop()
            self._values[word] = value = (self._values[word] + 1) & 0xFFFFFFFF
            self._gates.append(_Gate(writing=writing, word=word, value=value))
            self._driver.wait_value(stream, self._memory.address + 4 * word, value)
        self._wake.set()

    def poll(self) -> int:
        """Open the gates that can be opened; returns how many are still closed."""
        orphans: list[_Gate] = []
        with self._lock:
            for gate in self._gates[:]:
                if not self._is_written(gate.writing):
                    if gate.writing.is_alive():
                        continue
                    orphans.append(gate)
                self._open(gate)
            num_shut = len(self._gates)
        for gate in orphans:
            gate.writing.on_orphan()
        return num_shut

    def start(self) -> None:
        """Start a thread that polls while gates are closed."""
        self._thread = threading.Thread(target=self._watch, name="cuda-watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Open all gates, so that no stream waits any more. Safe to call twice."""
        self._is_closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self._end()

    def _end(self) -> None:
        """Open all gates; no new one is made."""
        with self._lock:
            self._is_closed = True
            for gate in self._gates[:]:
                self._open(gate)

    def _is_written(self, writing: Writing) -> bool:
        try:
            return writing.is_done()
        except CudaError:  # the event may be gone with its process
            if writing.is_alive():
                raise
            return False

    def _open(self, gate: _Gate) -> None:
        self._words[gate.word] = gate.value
        self._gates.remove(gate)
        self._free.append(gate.word)

    def _watch(self) -> None:
        while not self._is_closed:
            self._wake.wait()
            self._wake.clear()
            pause = threading.Event()  # never set: a sleep that holds nothing
            try:
                while not self._is_closed and self.poll():
                    pause.wait(POLL_SECS)
            except Exception as error:  # top of the thread: raised by the next `wait`; all gates are opened
                self._error = error
                self._end()


def export(driver: Driver, address: int) -> bytes:
    """The IPC handle of the allocation at `address`. Raises CudaError with the reason if it has none."""
    if not driver.is_shareable(address):
        raise CudaError(
            "this memory has no IPC handle: it is made of expandable segments"
            " (PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True) or of a memory pool; loan from the mailbox's"
            " own pool, or switch expandable_segments off"
        )
    return driver.export_memory(address)


def _start_ticks(pid: int) -> int | None:
    """Field 22 of /proc/<pid>/stat; None if the process does not exist or has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def make_file(num_bytes: int, folder: Path) -> Path:
    """A new file of this size, mode 0600, for memory that several processes register."""
    descriptor, name = tempfile.mkstemp(prefix="sage-pool-", dir=folder)  # mode 0600
    try:
        os.ftruncate(descriptor, num_bytes)
    finally:
        os.close(descriptor)
    return Path(name)


def register_file(driver: Driver, path: Path, num_bytes: int) -> Allocation:
    """Map a file and register it with CUDA. Raises CudaError if it cannot be opened or registered."""
    try:
        with path.open("r+b") as file:
            mapping = mmap.mmap(file.fileno(), num_bytes)
    except OSError as error:
        raise CudaError(
            f"the pool {path} cannot be opened: {error.strerror}; its owner has closed it, or"
            " belongs to another user"
        ) from error
    return driver.register(ctypes.addressof(ctypes.c_char.from_buffer(mapping)), num_bytes, mapping)


def _remove(path: Path, process: int) -> None:
    if os.getpid() == process:
        path.unlink(missing_ok=True)
