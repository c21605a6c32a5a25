"""A shared pool's memory as one process sees it: twice, once to write into loans, once read-only for everybody else's work.

Invariant: an array or tensor of a lease lies on pages that this process cannot write: who tries dies of it (SIGSEGV), and
nobody else notices. What was ever taken from a slot is known by a weak reference, and nothing runs when it dies.
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
import zlib
from typing import Any

import numpy as np

from sage.mailbox.intake import numpy_dtype
from sage.mailbox.shared.focus_layout import CONTROL_BYTES, STRIDE_BYTES
from sage.mailbox.shared.segment import Segment
from sage.mailbox.tensor_spec import TensorSpec


class SharedPool:
    """Slots by index. All that is taken from one slot by one mapping hangs on one view, as long as any of it lives."""

    def __init__(self, segment: Segment) -> None:
        # the same file a second time, by its descriptor: the name may be gone by now
        read_only = Segment(segment.name, os.dup(segment.fd), is_creator=False, is_read_only=True)
        self._mappings = (segment, read_only)
        self._stride_bytes = stride_bytes = segment.words[STRIDE_BYTES]
        # a class of its own, because only a subclass of a ctypes array can be referred to weakly
        self._view_type: Any = type("SlotView", (ctypes.c_uint8 * stride_bytes,), {})
        self.forget()

    def array(self, index: int, spec: TensorSpec, *, is_read_only: bool) -> np.ndarray:
        array: np.ndarray = np.ndarray(spec.shape, numpy_dtype(spec.dtype), self._view(index, is_read_only))
        if is_read_only:
            array.flags.writeable = False  # numpy says so before the memory does
        return array

    def tensor(self, index: int, spec: TensorSpec, *, is_read_only: bool) -> Any:
        """torch knows no read-only tensors: the memory alone guards one."""
        import torch  # a sensor process that only writes arrays never pays for it

        dtype = getattr(torch, spec.dtype)
        if spec.num_elements == 0:
            return torch.empty(spec.shape, dtype=dtype)
        return torch.frombuffer(self._view(index, is_read_only), dtype=dtype, count=spec.num_elements).reshape(spec.shape)

    def fill(self, index: int, array: np.ndarray) -> None:
        """Copy the bytes of a small array into a loaned slot, without a view that would have to be watched."""
        start = CONTROL_BYTES + index * self._stride_bytes
        self._mappings[0].memory[start : start + array.nbytes] = array.tobytes()

    def is_viewed(self, index: int) -> bool:
        """Something that was taken from this slot here is still alive."""
        for views in self._views:
            view = views.get(index)
            if view is not None and view() is not None:
                return True
        return False

    def checksum(self, index: int, num_bytes: int) -> int:
        start = CONTROL_BYTES + index * self._stride_bytes
        with memoryview(self._mappings[0].memory) as memory:
            return zlib.crc32(memory[start : start + num_bytes])

    def forget(self) -> None:
        """After a fork the views are the parent's; here they keep the memory mapped, and hold no slot."""
        self._lock = threading.Lock()
        self._views: tuple[dict[int, weakref.ref[Any]], ...] = ({}, {})  # by mapping, by slot

    def close(self) -> None:
        """The mappings stay for as long as a view of them lives."""
        self._mappings[1].close()

    def _view(self, index: int, is_read_only: bool) -> Any:
        mapping, views = self._mappings[is_read_only], self._views[is_read_only]
        with self._lock:  # two threads that asked at once would hang on two, and one of them would go unwatched
            known = views.get(index)
            view = None if known is None else known()
            if view is None:
                view = self._view_type.from_address(mapping.address + CONTROL_BYTES + index * self._stride_bytes)
                view.memory = mapping.memory
                views[index] = weakref.ref(view)
            return view
