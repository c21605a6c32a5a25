"""A shared pool's memory as one process sees it: twice, once to write into loans, once read-only for
everybody else's work.

Invariant: an array or tensor of a lease lies on pages that this process cannot write: who tries dies of it
(SIGSEGV), and nobody else notices. Whether anything taken from a slot lives is known by counting references;
nothing runs when it dies.
"""

from __future__ import annotations

import ctypes
import os
import zlib
from sys import getrefcount
from typing import Any

import numpy as np

from sage.mailbox.shared.focus.layout import CONTROL_BYTES, SLOTS, STRIDE_BYTES
from sage.mailbox.shared.memory.segment import Segment
from sage.mailbox.tensor_spec import TensorSpec


class SharedPool:
    """Slots by index. All that is taken from a slot hangs on one object for each mapping, whose references
    are counted.
    """

    def __init__(self, segment: Segment) -> None:
        # the same file a second time, by its descriptor: the name may be gone by now
        read_only = Segment(segment.name, os.dup(segment.fd), is_creator=False, is_read_only=True)
        self._mappings = (segment, read_only)
        self._num_slots = segment.words[SLOTS]
        self._stride_bytes = segment.words[STRIDE_BYTES]
        # a class of its own, because only an instance of a subclass can keep the mapping alive
        self._memory_type: Any = type("SlotMemory", (ctypes.c_uint8 * self._stride_bytes,), {})
        self.forget()

    def forget(self) -> None:
        """After a fork what was taken is the parent's: here it keeps the memory mapped, and holds no slot."""
        writable, read_only = (self._slots_of(mapping) for mapping in self._mappings)
        self._writable = writable
        self._read_only = read_only
        #: What numpy makes arrays of: it takes being read-only from the view, and refers to the memory behind
        #: it.
        self._readers = [memoryview(memory).toreadonly() for memory in read_only]
        self._num_unseen = (getrefcount(writable[0]), getrefcount(read_only[0]))

    def array(self, index: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Of a loan, or claimed."""
        return np.ndarray(shape, dtype, self._writable[index])

    def read_only_array(self, index: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Of a lease. numpy says so before the memory does."""
        return np.ndarray(shape, dtype, self._readers[index])

    def tensor(self, index: int, spec: TensorSpec, *, is_read_only: bool) -> Any:
        """torch knows no read-only tensors: the memory alone guards one."""
        import torch  # a sensor process that only writes arrays never pays for it

        dtype = getattr(torch, spec.dtype)
        if spec.num_elements == 0:
            return torch.empty(spec.shape, dtype=dtype)
        memory = (self._read_only if is_read_only else self._writable)[index]
        return torch.frombuffer(memory, dtype=dtype, count=spec.num_elements).reshape(spec.shape)

    def fill(self, index: int, array: np.ndarray) -> None:
        """Copy the bytes of a small array into a loaned slot, without a view that would have to be
        watched.
        """
        start = CONTROL_BYTES + index * self._stride_bytes
        self._mappings[0].memory[start : start + array.nbytes] = array.tobytes()

    def is_viewed(self, index: int) -> bool:
        """Something that was taken from this slot here is still alive."""
        num_writable, num_read_only = self._num_unseen
        return (
            getrefcount(self._writable[index]) > num_writable
            or getrefcount(self._read_only[index]) > num_read_only
        )

    def checksum(self, index: int, num_bytes: int) -> int:
        start = CONTROL_BYTES + index * self._stride_bytes
        with memoryview(self._mappings[0].memory) as memory:
            return zlib.crc32(memory[start : start + num_bytes])

    def close(self) -> None:
        """The mappings stay for as long as a view of them lives."""
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
