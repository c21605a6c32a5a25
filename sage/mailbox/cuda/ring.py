"""The record ring in device memory: written by kernels, read by one kernel into a static buffer.

`push_many` and `pop_many` queue one launch each and read nothing back, so that both can be captured in a
graph;
`take` and `num_taken` copy the result to the host, and wait. Invariant: delivered + lost is the number of
records pushed before.
"""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np

from sage.errors import InputError
from sage.mailbox.contract import Batch
from sage.mailbox.cuda.driver import Driver
from sage.mailbox.cuda.views import DeviceBuffer
from sage.mailbox.options import Mode
from sage.mailbox.record import RECORD_BYTES, record_dtype

RING_BYTES, LAUNCH_BYTES, RESULT_BYTES = 256, 40, 24
NUM_CURSORS, NOT_SUBSCRIBED = 16, (1 << 64) - 1
THREADS, MAX_BLOCKS = 256, 512
_OLDEST, _LATEST = 0, NOT_SUBSCRIBED - 1

_RING = np.dtype(
    [
        ("reserved", "<u8"),
        ("capacity", "<u8"),
        ("num_voids", "<u8"),
        ("num_refused", "<u8"),
        ("record_bytes", "<u4"),
        ("is_lossless", "<u4"),
        ("shift", "<u4"),
        ("unused", "<u4", 21),
        ("cursors", "<u8", NUM_CURSORS),
    ]
)
_LAUNCH = np.dtype(
    [
        ("phase", "<u4"),
        ("num_done", "<u4"),
        ("first", "<u8"),
        ("lost", "<u8"),
        ("count", "<u4"),
        ("skipped", "<u4"),
        ("rest", "<u8"),
    ]
)
_RESULT = np.dtype([("first_ticket", "<u8"), ("lost", "<u8"), ("offset", "<u4"), ("count", "<u4")])


class Launcher(Protocol):
    """Runs the ring's kernels; `arguments` are numpy scalars of the parameters' widths."""

    def launch(
        self, kernel: str, num_blocks: int, num_threads: int, stream: int, arguments: tuple[np.generic, ...]
    ) -> None: ...


class DeviceRing:
    """capacity: 2^k records of record_bytes each.  mode: as for PeripheralMailbox; a lossless push appends
    what fits.
    """

    def __init__(
        self,
        *,
        driver: Driver,
        launcher: Launcher,
        capacity: int = 4096,
        record_bytes: int = RECORD_BYTES,
        mode: Mode = "lossy",
        is_mapped: bool = False,
    ) -> None:
        if capacity < 1 or capacity & (capacity - 1):
            raise InputError(f"capacity is {capacity}: give a power of two")
        if mode not in ("lossy", "lossless"):
            raise InputError(f'mode is {mode!r}: give "lossy" or "lossless"')
        self.dtype = record_dtype(record_bytes)
        self.capacity = capacity
        self.record_bytes = record_bytes
        self.mode = mode
        self.driver = driver
        self.launcher = launcher
        num_bytes = -(-(RING_BYTES + 16 * capacity) // 128) * 128 + capacity * record_bytes
        self._memory = driver.allocate_mapped(num_bytes) if is_mapped else driver.allocate(num_bytes)
        self.address = self._memory.address
        self._free_cursors = list(range(NUM_CURSORS))[::-1]
        control = np.zeros((), dtype=_RING)
        control["capacity"], control["record_bytes"], control["is_lossless"] = (
            capacity,
            record_bytes,
            mode == "lossless",
        )
        control["shift"], control["cursors"] = capacity.bit_length() - 1, NOT_SUBSCRIBED
        _write(driver, self.address, control)

    @property
    def memory(self) -> DeviceBuffer:
        """The ring's memory, for a user's kernel that pushes (`ring_push_record` in CUDA C or Triton)."""
        return DeviceBuffer(self.address, self._memory.num_bytes, self._memory.owner)

    def producer(self) -> RingProducer:
        """A producer, for one stream at a time. Several producers can push at once."""
        return RingProducer(self)

    def subscribe(
        self, *, max_records: int, start: Literal["latest", "oldest"] | int = "latest", stream: int = 0
    ) -> RingReader:
        """A new cursor with a static buffer for max_records. Raises InputError if all 16 are in use."""
        if max_records < 1:
            raise InputError(f"max_records is {max_records}: give 1 or more")
        if not self._free_cursors:
            raise InputError(f"{NUM_CURSORS} subscribers are the maximum of this ring: close one")
        ticket = {"latest": _LATEST, "oldest": _OLDEST}.get(start, start) if isinstance(start, str) else start
        which = self._free_cursors.pop()
        self._set_cursor(which, int(ticket), stream)
        self.driver.synchronize(stream)  # sync: once, so that any stream can read it
        return RingReader(self, which, max_records)

    def num_voids(self) -> int:
        """Records skipped because the record a lap earlier was not complete. Waits for the legacy stream."""
        return int(_read(self.driver, self.address, _RING, 0)["num_voids"])

    def num_refused(self) -> int:
        """Records that a lossless ring had no room for. Waits for the legacy stream."""
        return int(_read(self.driver, self.address, _RING, 0)["num_refused"])

    def leave(self, which: int, stream: int) -> None:
        self._set_cursor(which, NOT_SUBSCRIBED, stream)
        self.driver.synchronize(stream)  # sync: once, so that its cursor can be reused
        self._free_cursors.append(which)

    def num_blocks(self, num_records: int) -> int:
        return min(MAX_BLOCKS, max(1, -(-num_records * (self.record_bytes // 16) // THREADS)))

    def _set_cursor(self, which: int, ticket: int, stream: int) -> None:
        arguments = (np.uint64(self.address), np.uint32(which), np.uint64(ticket))
        self.launcher.launch("ring_subscribe", 1, 1, stream, arguments)


class RingProducer:
    """Bulk pushes of records in device memory."""

    def __init__(self, ring: DeviceRing) -> None:
        self._ring = ring
        self._launch = ring.driver.allocate(LAUNCH_BYTES)

    def push_many(self, records_address: int, num_records: int, *, stream: int = 0) -> None:
        """Queue one launch that pushes (num_records, record_bytes) from device memory, 16-byte aligned, in
        order.
        """
        if records_address % 16:
            raise InputError(
                f"records_address is {records_address:#x}: records are copied 16 bytes at a time, align them"
                " to 16"
            )
        if num_records == 0:
            return
        ring = self._ring
        arguments = (
            np.uint64(ring.address),
            np.uint64(self._launch.address),
            np.uint64(records_address),
            np.uint32(num_records),
        )
        ring.launcher.launch("ring_push", ring.num_blocks(num_records), THREADS, stream, arguments)

    def num_taken(self, *, stream: int = 0) -> int:
        """Number of records appended by the last push: all, or those that fit. Waits for the stream."""
        return int(_read(self._ring.driver, self._launch.address, _LAUNCH, stream)["count"])


class RingReader:
    """One cursor with its static buffer: `buffer` (max_records, record_bytes) and `result` are for kernels to
    read.
    """

    def __init__(self, ring: DeviceRing, which: int, max_records: int) -> None:
        self._ring = ring
        self._which = which
        self.max_records = max_records
        driver = ring.driver
        self._launch = driver.allocate(LAUNCH_BYTES)
        self._result = driver.allocate(RESULT_BYTES)
        self._records = driver.allocate(max_records * ring.record_bytes)
        self._statuses = driver.allocate(4 * max_records)
        self._is_closed = False

    @property
    def buffer(self) -> DeviceBuffer:
        """The records, for `torch.as_tensor` or `cupy.asarray`; rows [offset, offset + count) of the result
        are valid.
        """
        return DeviceBuffer(self._records.address, self._records.num_bytes, self._records.owner)

    @property
    def result(self) -> DeviceBuffer:
        """24 bytes: u64 first_ticket, u64 lost, u32 offset, u32 count."""
        return DeviceBuffer(self._result.address, RESULT_BYTES, self._result.owner)

    def pop_many(self, *, stream: int = 0) -> None:
        """Queue one launch that pops up to max_records into the buffer."""
        if self._is_closed:
            raise InputError("this reader was closed: subscribe again")
        ring = self._ring
        arguments = (
            np.uint64(ring.address),
            np.uint64(self._launch.address),
            np.uint32(self._which),
            np.uint64(self._records.address),
            np.uint64(self._statuses.address),
            np.uint64(self._result.address),
            np.uint32(self.max_records),
        )
        ring.launcher.launch("ring_pop", ring.num_blocks(self.max_records), THREADS, stream, arguments)

    def take(self, *, stream: int = 0) -> Batch:
        """`pop_many`, then copy the result to the host: one copy, two waits."""
        self.pop_many(stream=stream)
        driver, size = self._ring.driver, self._ring.record_bytes
        result = _read(driver, self._result.address, _RESULT, stream)
        count, offset = int(result["count"]), int(result["offset"])
        records = np.empty(count, dtype=self._ring.dtype)
        if count:
            driver.copy(records.ctypes.data, self._records.address + offset * size, count * size, stream)
            driver.synchronize(stream)  # sync: the records are returned on the host
        return Batch(records=records, lost=int(result["lost"]), first_ticket=int(result["first_ticket"]))

    def close(self, *, stream: int = 0) -> None:
        """Unsubscribe. Unread records no longer block a lossless writer. Safe to call twice."""
        if not self._is_closed:
            self._is_closed = True
            self._ring.leave(self._which, stream)


def _write(driver: Driver, address: int, value: np.ndarray) -> None:
    driver.copy(address, value.ctypes.data, value.nbytes, 0)
    driver.synchronize(0)  # sync: once, at creation


def _read(driver: Driver, address: int, dtype: np.dtype, stream: int) -> np.void:
    out = np.zeros(1, dtype=dtype)
    driver.copy(out.ctypes.data, address, dtype.itemsize, stream)
    driver.synchronize(stream)  # sync: the return value
    first: np.void = out[0]
    return first
