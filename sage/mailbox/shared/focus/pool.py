"""A shared pool's memory, mapped twice in each process: writable for loans, read-only for leases.

Invariant: an array or tensor of a lease is on read-only pages: a write raises SIGSEGV in the writing process
only. Reference counts show whether views of a slot exist; no finalizer runs when they end.
"""

from __future__ import annotations

import ctypes
import os
import zlib
from sys import getrefcount
from typing import Any

import numpy as np

from sage.mailbox.shared.focus.layout import CONTROL_BYTES, SLOTS, STRIDE_BYTES, place_of
from sage.mailbox.shared.memory.segment import Segment
from sage.mailbox.tensor_spec import TensorSpec


class SharedPool:
    """Slots by index. All views of a slot refer to one object per mapping, whose references are counted."""

    def __init__(self, segment: Segment) -> None:
        # the same file again, by its descriptor, because the name may have been removed
        read_only = Segment(segment.name, os.dup(segment.fd), is_creator=False, is_read_only=True)
        self._mappings = (segment, read_only)
        self._num_slots = segment.words[SLOTS]
        self._stride_bytes = segment.words[STRIDE_BYTES]
        # a subclass, because only its instances can have an attribute that keeps the mapping alive
        self._memory_type: Any = type("SlotMemory", (ctypes.c_uint8 * self._stride_bytes,), {})
        self.forget()

    def forget(self) -> None:
        """After a fork existing views belong to the parent: here they keep the memory mapped but hold no
        slot.
        """
        writable, read_only = (self._slots_of(mapping) for mapping in self._mappings)
        self._writable = writable
        self._read_only = read_only
        #: numpy makes read-only arrays of these views; the arrays refer to the memory behind them.
        self._readers = [memoryview(memory).toreadonly() for memory in read_only]
        #: The same by the slots' places in the table, for new arrays: writable, and read-only.
        self.writable_at = {place_of(index): memory for index, memory in enumerate(writable)}
        self.readers_at = {place_of(index): memory for index, memory in enumerate(self._readers)}
        self._read_only_at = {place_of(index): memory for index, memory in enumerate(read_only)}
        self._num_writable, self._num_read_only = getrefcount(writable[0]), getrefcount(read_only[0])

    def array(self, index: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """A writable array: of a loan, or claimed."""
        return np.ndarray(shape, dtype, self._writable[index])

    def read_only_array(self, index: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """A read-only array, of a lease; numpy raises before the memory does."""
        return np.ndarray(shape, dtype, self._readers[index])

    def tensor(self, index: int, spec: TensorSpec, *, is_read_only: bool) -> Any:
        """torch has no read-only tensors: only the mapping protects a lease's."""
        import torch  # here, because a process that only writes arrays does not need it

        dtype = getattr(torch, spec.dtype)
        if spec.num_elements == 0:
            return torch.empty(spec.shape, dtype=dtype)
        memory = (self._read_only if is_read_only else self._writable)[index]
        return torch.frombuffer(memory, dtype=dtype, count=spec.num_elements).reshape(spec.shape)

    def memory_of(self, index: int) -> Any:
        """The ctypes array over a slot, writable; the slot counts as viewed while anything else refers to
        it.
        """
        return self._writable[index]

    def keep_alive(self, owner: Any) -> None:
        """`owner` exists as long as any view of the writable slots."""
        for memory in self._writable:
            memory.owner = owner

    def fill(self, index: int, array: np.ndarray) -> None:
        """Copy the bytes of a small array into a loaned slot without making a tracked view."""
        start = CONTROL_BYTES + index * self._stride_bytes
        self._mappings[0].memory[start : start + array.nbytes] = array.tobytes()

    def is_viewed(self, index: int) -> bool:
        """Whether views of this slot exist in this process."""
        return self.is_viewed_at(place_of(index))

    def is_viewed_at(self, place: int) -> bool:
        """`is_viewed` by the slot's place in the table."""
        return (
            getrefcount(self.writable_at[place]) > self._num_writable
            or getrefcount(self._read_only_at[place]) > self._num_read_only
        )

    def checksum(self, index: int, num_bytes: int) -> int:
        start = CONTROL_BYTES + index * self._stride_bytes
        with memoryview(self._mappings[0].memory) as memory:
            return zlib.crc32(memory[start : start + num_bytes])

    def close(self) -> None:
        """Close the files. The mappings stay while views of them exist."""
        self._mappings[1].close()

    def _slots_of(self, mapping: Segment) -> list[Any]:
        first = mapping.address + CONTROL_BYTES
        slots = [
            self._memory_type.from_address(first + index * self._stride_bytes)
            for index in range(self._num_slots)
        ]
        for each in slots:
            each.mapping = mapping.memory
        return slots
