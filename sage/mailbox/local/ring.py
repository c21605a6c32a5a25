"""The storage of a peripheral mailbox: slots that are written at the tail and read anywhere in the last lap.

Invariant: slot `ticket % capacity` contains the whole record of `ticket`, for oldest <= ticket < tail.
Locks and subscribers are the mailbox's.
"""

from __future__ import annotations

import struct

import numpy as np

from sage.errors import InputError
from sage.mailbox.local.backend import Backend
from sage.mailbox.record import HEADER_BYTES, record_dtype

_U32 = struct.Struct("<I")
_LENGTH_OFFSET = 24
_GENERATION_OFFSET = 28


class Ring:
    """capacity: 2^k slots of record_bytes each, 128-byte aligned.  first_ticket: of the first record."""

    def __init__(self, *, capacity: int, record_bytes: int, backend: Backend, first_ticket: int) -> None:
        if capacity < 1 or capacity & (capacity - 1):
            raise InputError(f"capacity is {capacity}: give a power of two")
        if first_ticket < 0:
            raise InputError(f"first_ticket is {first_ticket}: give 0 or more")
        self.dtype = record_dtype(record_bytes)
        self.capacity = capacity
        self.record_bytes = record_bytes
        self.first_ticket = self.tail = first_ticket
        self._payload_bytes = record_bytes - HEADER_BYTES
        self._records = backend.allocate(capacity * record_bytes).view(self.dtype)  # (capacity,)
        self._bytes = self._records.view(np.uint8).data
        self._push_ns = np.zeros(capacity, dtype=np.int64)
        self._push_ns_view = self._push_ns.data
        self._mask = capacity - 1
        self._shift = self._mask.bit_length()

    @property
    def oldest(self) -> int:
        """The first ticket that can still be read."""
        return max(self.first_ticket, self.tail - self.capacity)

    @property
    def address(self) -> int:
        return self._records.ctypes.data

    def checked(self, record: np.ndarray | np.void | bytes) -> bytes:
        """The record's bytes, zero past its length. Raises InputError if its layout is not the ring's."""
        data = record if type(record) is bytes else record.tobytes()  # type: ignore[union-attr]
        if len(data) != self.record_bytes:
            raise InputError(
                f"a record of {len(data)} bytes pushed to a ring of {self.record_bytes}: "
                f"make it with record_dtype({self.record_bytes}), or use push_many for several"
            )
        (length,) = _U32.unpack_from(data, _LENGTH_OFFSET)
        if length < self._payload_bytes:  # no bytes of an earlier, longer message
            return data[: HEADER_BYTES + length].ljust(self.record_bytes, b"\0")
        if length > self._payload_bytes:
            raise InputError(
                f"length is {length}: a record of {self.record_bytes} bytes has room for"
                f" {self._payload_bytes}"
            )
        return data

    def write(self, data: bytes, now_ns: int) -> None:
        """Store checked bytes under the next ticket."""
        ticket = self.tail
        index = ticket & self._mask
        start = index * self.record_bytes
        self._bytes[start : start + self.record_bytes] = data
        _U32.pack_into(self._bytes, start + _GENERATION_OFFSET, ((ticket >> self._shift) + 1) & 0xFFFFFFFF)
        self._push_ns_view[index] = now_ns
        self.tail = ticket + 1

    def checked_many(self, records: np.ndarray) -> np.ndarray:
        """A copy of `records` (n,), zero past each length. Raises InputError if their layout is not the
        ring's.
        """
        if records.ndim != 1 or records.dtype.itemsize != self.record_bytes:
            raise InputError(
                f"records of shape {records.shape} and {records.dtype.itemsize} bytes: "
                f"give an array (n,) of record_dtype({self.record_bytes})"
            )
        # as plain bytes, because numpy copies a structured array field by field
        rows = (
            np.frombuffer(bytearray(records.tobytes()), dtype=np.uint8)
            if len(records)
            else np.empty(0, dtype=np.uint8)
        )
        rows = rows.reshape(-1, self.record_bytes)
        copies = rows.reshape(-1).view(self.dtype)
        lengths = copies["length"]
        longest = int(np.maximum.reduce(lengths, initial=0))
        shortest = int(np.minimum.reduce(lengths, initial=longest))
        if longest > self._payload_bytes:
            raise InputError(
                f"length is {longest}: a record of {self.record_bytes} bytes has room for"
                f" {self._payload_bytes}"
            )
        if longest == shortest:
            rows[:, HEADER_BYTES + longest :] = 0
        else:
            rows[:, HEADER_BYTES:][np.arange(self._payload_bytes) >= lengths[:, None]] = 0
        return copies

    def write_many(self, records: np.ndarray, now_ns: int) -> None:
        """Store checked records under the next tickets; of more than `capacity` only the last lap is
        stored.
        """
        first = max(0, len(records) - self.capacity)
        stored = records[first:]
        ticket = self.tail + first
        source = stored.view(np.uint8).data
        for start, stop, offset in self._spans(ticket, len(stored)):
            lap = (ticket + offset) >> self._shift
            stored["generation"][offset : offset + stop - start] = (lap + 1) & 0xFFFFFFFF
            self._bytes[start * self.record_bytes : stop * self.record_bytes] = source[
                offset * self.record_bytes : (offset + stop - start) * self.record_bytes
            ]
            self._push_ns[start:stop] = now_ns
        self.tail += len(records)

    def read(self, ticket: int, num_records: int, out: np.ndarray | None = None) -> np.ndarray:
        """A copy of the records from `ticket` on, all in the last lap: a new array, or the first rows of
        `out`.
        """
        size = self.record_bytes
        index = ticket & self._mask
        if out is None and 0 < num_records <= self.capacity - index:
            return np.frombuffer(
                bytearray(self._bytes[index * size : (index + num_records) * size]), dtype=self.dtype
            )
        records = np.empty(num_records, dtype=self.dtype) if out is None else out[:num_records]
        target = records.view(np.uint8).data
        for start, stop, offset in self._spans(ticket, num_records):
            target[offset * size : (offset + stop - start) * size] = self._bytes[start * size : stop * size]
        return records

    def pushed_ns(self, ticket: int) -> int:
        return self._push_ns_view[ticket & self._mask]

    def _spans(self, ticket: int, num_records: int) -> list[tuple[int, int, int]]:
        """(start, stop, offset in the batch): one span, or two if they cross the end of the ring."""
        start = ticket & self._mask
        room = self.capacity - start
        if num_records <= room:
            return [(start, start + num_records, 0)]
        return [(start, self.capacity, 0), (0, num_records - room, room)]
