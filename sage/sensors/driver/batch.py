"""The records of the small readings that the loop's thread delivers in a tick, made and pushed together.

One compiled call summarises all of them, and one push takes one lock. Invariant: the records are those of
`summarize`, to rounding, in the order of `add`; a reading that may not be finite is never added.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from sage.mailbox.record import KIND_SUMMARY, MAX_SAMPLE, RECORD_BYTES, SUMMARY, SUMMARY_LENGTH

if TYPE_CHECKING:
    from sage.mailbox.contract import Peripheral
    from sage.sensors.contract import Reading

#: Records before a push, if no `flush` comes earlier.
CAPACITY = 256
#: Readings with a larger sum of absolute values are summarised one by one: `summarize` may count some of the
#: values as not finite.
MAX_TOTAL = 1e34
#: Up to this many values a pass over a list is faster than two numpy calls.
FEW_VALUES = 16
#: A record without the four statistics of its values, which are zero, up to its flags.
_RECORD_STRUCT = struct.Struct("<QIIqIIQff32xffI")


class RecordBatch:
    """Records for one peripheral mailbox. Used by one thread; needs numba."""

    def __init__(self, peripheral: Peripheral) -> None:
        from sage.sensors.driver import summary_kernel

        self.peripheral = peripheral
        self._summarize = summary_kernel.summarize
        self._signs = summary_kernel.signs()
        self._records = np.zeros(CAPACITY, dtype=SUMMARY)
        self._bytes = self._records.view(np.uint8).data
        self._floats = self._records.view(np.float32).reshape(CAPACITY, -1)
        self._words = self._records.view(np.uint32).reshape(CAPACITY, -1)
        self._projected = np.zeros((CAPACITY, self._signs.shape[1]))
        self._values = np.zeros(CAPACITY * MAX_SAMPLE)
        self._ends = np.zeros(CAPACITY, dtype=np.int64)
        self._num = self._num_values = 0
        self._fill()  # compiles now, not in the first tick

    def takes(self, array: np.ndarray) -> bool:
        """Whether `array` is small, and certainly finite."""
        if array.size > MAX_SAMPLE or not array.size:
            return False
        if array.dtype.kind != "f":
            return True
        if array.size <= FEW_VALUES:
            return bool(sum(map(abs, array.ravel().tolist())) < MAX_TOTAL)  # False for NaN
        return float(np.abs(array).sum(dtype=np.float64)) < MAX_TOTAL

    def add(
        self,
        array: np.ndarray,
        reading: Reading,
        *,
        producer: int,
        sequence: int,
        trust: float,
        word: int,
        flags: int,
    ) -> None:
        """A reading that `takes` accepts. word: of its tensor's slot, 0 without one.  flags: DEMOTED or 0."""
        if self._num == CAPACITY:
            self.flush()
        number, start = self._num, self._num_values
        end = start + array.size
        self._values[start:end] = array.ravel()
        self._ends[number] = end
        _RECORD_STRUCT.pack_into(
            self._bytes,
            number * RECORD_BYTES,
            sequence,
            producer,
            KIND_SUMMARY,
            reading.captured_ns,
            SUMMARY_LENGTH,
            0,
            word,
            trust,
            reading.quality,
            reading.confidence,
            reading.noise_std,
            flags,
        )
        self._num, self._num_values = number + 1, end

    def flush(self) -> None:
        """Push what was added."""
        if not self._num:
            return
        self._fill()
        num, self._num, self._num_values = self._num, 0, 0
        self._records["projection"][:num] = self._projected[:num]
        self.peripheral.push_many(self._records[:num].view(self.peripheral.dtype))

    def _fill(self) -> None:
        self._summarize(
            self._values, self._ends[: self._num], self._signs, self._floats, self._words, self._projected
        )
