"""The ring in Numba-CUDA, without CuPy and NVRTC: the same protocol as ring.cu, one thread per record.

Numba's atomics are relaxed, so each memory order of ring.cu is a relaxed atomic with a `threadfence`: an
acquire is an atomic read, then the fence; a release is the fence, then the atomic write. It also runs in
Numba's simulator, where blocks run one after another: that tests the logic, not the orders. Invariant: only
`opens` waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sage.errors import InputError
from sage.mailbox.contract import Batch
from sage.mailbox.record import RECORD_BYTES, record_dtype

NUM_CURSORS = 16
NOT_SUBSCRIBED = np.uint64((1 << 64) - 1)


class NumbaRing:
    """A ring on Numba's current device, for records on the host or in device arrays (n, record_bytes / 8) of
    uint64.
    """

    def __init__(
        self,
        *,
        capacity: int = 4096,
        record_bytes: int = RECORD_BYTES,
        mode: str = "lossy",
        num_threads: int = 128,
    ) -> None:
        if capacity < 1 or capacity & (capacity - 1):
            raise InputError(f"capacity is {capacity}: give a power of two")
        if mode not in ("lossy", "lossless"):
            raise InputError(f'mode is {mode!r}: give "lossy" or "lossless"')
        self.dtype = record_dtype(record_bytes)
        self.capacity = capacity
        from numba import cuda

        from sage.mailbox.cuda import numba_kernels

        self._cuda = cuda
        self._kernels = numba_kernels
        self._words = record_bytes // 8
        self._threads = num_threads
        to_device = self._cuda.to_device
        # reserved, records skipped, records refused, is_lossless
        self._control = to_device(np.array([0, 0, 0, mode == "lossless"], dtype=np.uint64))
        self._states, self._voids = (to_device(np.zeros(capacity, dtype=np.uint64)) for _ in range(2))
        self._records = to_device(np.zeros((capacity, self._words), dtype=np.uint64))
        self._cursors = to_device(np.full(NUM_CURSORS, NOT_SUBSCRIBED, dtype=np.uint64))
        self._launch = self._new_launch()
        self._num_cursors = 0

    def push_many(self, records: np.ndarray) -> int:
        """Append (n,) host records in order; returns how many: all, or those that a lossless ring had room
        for.
        """
        if not len(records):
            return 0
        words = np.ascontiguousarray(records).view(np.uint64).reshape(len(records), self._words)
        self.push_device(self._cuda.to_device(words))
        return int(self._launch.copy_to_host()[3])  # sync: the return value

    def push_device(self, words: Any) -> None:
        """Queue one launch on the current stream; nothing is read back."""
        self._kernels.push[self.num_blocks(len(words)), self._threads](
            self._control, self._states, self._voids, self._records, self._cursors, self._launch, words
        )

    def subscribe(self, *, start: str | int, max_records: int) -> Callable[[], Batch]:
        """A function that pops a batch from a new cursor."""
        if self._num_cursors == NUM_CURSORS:
            raise InputError(f"{NUM_CURSORS} subscribers are the maximum of this ring: close one")
        tail = int(self._control.copy_to_host()[0])  # sync: once, at subscription
        oldest = max(0, tail - self.capacity)
        ticket = (
            {"latest": tail, "oldest": oldest}.get(start, tail)
            if isinstance(start, str)
            else min(max(start, oldest), tail)
        )
        which, self._num_cursors = self._num_cursors, self._num_cursors + 1
        self._cursors[which : which + 1] = np.array([ticket], dtype=np.uint64)
        reader = _Reader(self, which, max_records)
        return reader.take

    def num_blocks(self, num_records: int) -> int:
        return max(1, -(-num_records // self._threads))

    def _new_launch(self) -> Any:
        # phase, blocks done, first ticket, count, skipped or lost, start, end
        return self._cuda.to_device(np.zeros(7, dtype=np.uint64))


class _Reader:
    """One cursor with its static buffer."""

    def __init__(self, ring: NumbaRing, which: int, max_records: int) -> None:
        self._ring = ring
        self._which = which
        self._max = max_records
        to_device = ring._cuda.to_device
        self._out = to_device(np.zeros((max_records, ring._words), dtype=np.uint64))
        self._statuses = to_device(np.zeros(max_records, dtype=np.uint64))
        self._launch = ring._new_launch()

    def take(self) -> Batch:
        ring = self._ring
        ring._kernels.pop[ring.num_blocks(self._max), ring._threads](
            ring._control,
            ring._states,
            ring._voids,
            ring._records,
            ring._cursors,
            self._launch,
            self._which,
            self._out,
            self._statuses,
        )
        _, _, first, _, lost, start, end = (
            int(word) for word in self._launch.copy_to_host()
        )  # sync: the return value
        words = self._out.copy_to_host()[start:end]
        records = np.ascontiguousarray(words).reshape(-1).view(ring.dtype)
        return Batch(records=records, lost=lost + start, first_ticket=first + start)
