"""The small readings that the loop's thread delivers in a tick: their records, and the newest of each source.

One compiled call summarises all of them, one push takes one lock, and the loop reads the newest values of all
sources in one array. Invariant: the records are those of `summarize`, to rounding, in the order of the
readings; a reading that is not finite is never added.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sage.mailbox.record import KIND_SUMMARY, MAX_SAMPLE, RECORD_BYTES, SUMMARY, SUMMARY_LENGTH

if TYPE_CHECKING:
    from sage.mailbox.contract import Peripheral
    from sage.mailbox.tensor_spec import TensorSpec
    from sage.sensors.contract import Reading

#: Records before a push, if no `flush` comes earlier.
CAPACITY = 256
#: Readings with a larger sum of absolute values are summarised one by one: `summarize` may count some of the
#: values as not finite.
MAX_TOTAL = 1e34
#: Up to this many values a pass over a list is faster than two numpy calls.
FEW_VALUES = 16
#: Types whose values are float64 without rounding.
EXACT_TYPES = ("bool", "uint8", "int8", "int16", "int32", "float16", "float32", "float64")
#: A record without the four statistics of its values, which are zero, up to its flags.
_RECORD_STRUCT = struct.Struct("<QIIqII8xff32xff4x")


class ReadingBatch:
    """The small readings of the sources of one peripheral mailbox. Used by one thread; needs numba.

    tensors: of the mailbox's producers, in order. The batch holds those of up to MAX_SAMPLE values.
    captured_ns, sequence, quality, confidence: (N,) of the newest reading of each producer; the last as its
    record has it.  is_new: (N,) bool, it came
    since `forget`.
    """

    def __init__(self, peripheral: Peripheral, tensors: Sequence[TensorSpec]) -> None:
        from sage.sensors.driver import summary_kernel

        self.peripheral = peripheral
        self._tensors = tuple(tensors)
        self._kernel = summary_kernel
        self._signs = summary_kernel.signs()
        self._records = np.zeros(CAPACITY, dtype=SUMMARY)
        self._bytes = self._records.view(np.uint8).data
        self._floats = self._records.view(np.float32).reshape(CAPACITY, -1)
        self._words = self._records.view(np.uint32).reshape(CAPACITY, -1)
        self._longs = self._records.view(np.int64).reshape(CAPACITY, -1)
        self._qualities = np.zeros(CAPACITY)
        self._projected = np.zeros((CAPACITY, self._signs.shape[1]))
        self._values = np.zeros(CAPACITY * MAX_SAMPLE)
        self._ends = np.zeros(CAPACITY, dtype=np.int64)
        self._num = self._num_values = 0
        sizes = [tensor.num_elements if _is_held(tensor) else 0 for tensor in tensors]
        self._offsets = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        #: (C,) float64: the newest values of all producers, one after the other.
        self.newest = np.zeros(sum(sizes))
        self.is_new = np.zeros(len(sizes), dtype=bool)
        self.captured_ns = np.full(len(sizes), -1, dtype=np.int64)
        self.sequence = np.full(len(sizes), -1, dtype=np.int64)
        self.quality = np.ones(len(sizes))
        self.confidence = np.ones(len(sizes), dtype=np.float32)
        self._fill()  # compiles now, not in the first tick

    def holds(self, producer: int) -> bool:
        """Whether the readings of `producer` can be added."""
        return producer < len(self._tensors) and _is_held(self._tensors[producer])

    def place(self, producer: int) -> slice:
        """Where its values are in `newest`; empty for one that the batch does not hold."""
        return slice(int(self._offsets[producer]), int(self._offsets[producer + 1]))

    def array(self, producer: int) -> np.ndarray:
        """A copy of its newest reading, of its tensor's shape and type."""
        tensor = self._tensors[producer]
        return self.newest[self.place(producer)].astype(tensor.dtype).reshape(tensor.shape)

    def forget(self) -> None:
        """The readings so far are no longer new."""
        self.is_new[:] = False

    def add(self, values: np.ndarray, reading: Reading, producer: int, sequence: int, trust: float) -> bool:
        """Add a reading's values (n,), of a producer that the batch holds. False, and nothing is added, where
        they may not be finite or are too large to be summarised here.
        """
        if values.dtype.kind == "f" and not _total(values) < MAX_TOTAL:  # also for NaN
            return False
        if self._num == CAPACITY:
            self.flush()
        number, start = self._num, self._num_values
        end = start + len(values)
        self._values[start:end] = values
        self._ends[number] = end
        self._qualities[number] = reading.quality
        _RECORD_STRUCT.pack_into(
            self._bytes,
            number * RECORD_BYTES,
            sequence,
            producer,
            KIND_SUMMARY,
            reading.captured_ns,
            SUMMARY_LENGTH,
            0,
            trust,
            reading.quality,
            reading.confidence,
            reading.noise_std,
        )
        self._num, self._num_values = number + 1, end
        return True

    def add_summarized(
        self, values: np.ndarray, record: np.ndarray, reading: Reading, producer: int, sequence: int
    ) -> None:
        """Add a reading that `add` refuses and that is finite, with its record."""
        self.flush()
        self.peripheral.push(record)
        self.newest[self.place(producer)] = values
        self.is_new[producer] = True
        self.captured_ns[producer] = reading.captured_ns
        self.sequence[producer] = sequence
        self.quality[producer] = reading.quality
        self.confidence[producer] = reading.confidence

    def flush(self) -> None:
        """Push what was added; it is then the newest of its producers."""
        if not self._num:
            return
        self._fill()
        num, self._num, self._num_values = self._num, 0, 0
        self._records["projection"][:num] = self._projected[:num]
        self.peripheral.push_many(self._records[:num].view(self.peripheral.dtype))

    def _fill(self) -> None:
        values, ends = self._values, self._ends[: self._num]
        self._kernel.summarize(values, ends, self._signs, self._floats, self._words, self._projected)
        self._kernel.keep(
            values, ends, self._qualities, self._floats, self._words, self._longs, self._offsets, self.newest,
            self.quality, self.confidence, self.captured_ns, self.sequence, self.is_new,
        )  # fmt: skip


def _is_held(tensor: TensorSpec) -> bool:
    return 0 < tensor.num_elements <= MAX_SAMPLE and tensor.dtype in EXACT_TYPES


def _total(values: np.ndarray) -> float:
    """The sum of the absolute values."""
    if len(values) <= FEW_VALUES:
        return float(sum(map(abs, values.tolist())))
    return float(np.abs(values).sum(dtype=np.float64))
