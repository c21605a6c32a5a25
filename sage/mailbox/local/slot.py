"""One slot of a focus pool: its state, its generation, and whether views of its memory exist.

Invariant: a slot becomes FREE only when no view of it exists and its consumer's fence has passed.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
import zlib
from typing import Any

import numpy as np

from sage.mailbox.intake import as_array, has_numpy_values, numpy_dtype
from sage.mailbox.local.backend import (
    ALIGNMENT_BYTES,
    Backend,
    DeviceBackend,
    Fence,
    Order,
    PoolMemory,
    ProgramOrder,
    Surface,
)
from sage.mailbox.meta import BORROWED, FREE, LOANED, RELEASING, STATE_NAMES, FocusMeta
from sage.mailbox.tensor_spec import TensorSpec


class Slot:
    """Fields of the current generation, written with the mailbox's lock held.

    handle: weak reference to its open Loan or Lease.  view: weak reference to the buffer that all arrays and
    tensors of this generation share, None before the first.  order: of publication.  thread: that loaned or
    received it.  is_leaked: views existed when it was retired, and may queue work until they end.
    """

    __slots__ = (
        "address",
        "checksum",
        "deadline_ns",
        "fence",
        "generation",
        "handle",
        "index",
        "is_leaked",
        "order",
        "producer",
        "pushed_ns",
        "quality",
        "sequence",
        "spec",
        "stamp_ns",
        "state",
        "thread",
        "trust",
        "view",
    )

    def __init__(self, index: int, address: int) -> None:
        self.index = index
        self.address = address
        self.state = FREE
        self.generation = 1
        self.producer = 0
        self.thread = 0
        self.order = 0
        self.sequence = 0
        self.stamp_ns = 0
        self.pushed_ns = 0
        self.trust = 1.0
        self.quality = 1.0
        self.deadline_ns: int | None = None
        self.checksum: int | None = None
        self.is_leaked = False
        self.spec: TensorSpec | None = None
        self.fence: Fence | None = None
        self.handle: weakref.ref[Any] | None = None
        self.view: weakref.ref[Any] | None = None

    @property
    def word(self) -> int:
        """Slot and generation in one 64-bit word, as a record's header contains them."""
        return self.index | self.generation << 32

    def is_viewed(self) -> bool:
        return self.view is not None and self.view() is not None

    def is_abandoned(self) -> bool:
        """Whether its loan or lease was dropped without an end."""
        return self.state in (LOANED, BORROWED) and self.handle is not None and self.handle() is None

    def is_idle(self) -> bool:
        """Whether no view and no queued work uses its memory."""
        return not self.is_viewed() and (self.fence is None or self.fence.is_passed())

    def meta(self) -> FocusMeta:
        return FocusMeta(
            sequence=self.sequence,
            stamp_ns=self.stamp_ns,
            producer=self.producer,
            trust=self.trust,
            quality=self.quality,
            generation=self.generation,
            slot=self.index,
            deadline_ns=self.deadline_ns,
        )

    def describe(self) -> str:
        """State and holder, for an error message."""
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        thread = names.get(self.thread, "an ended thread")
        who = f" in {thread}" if self.state in (LOANED, BORROWED, RELEASING) else ""
        why = " (views of it are alive)" if self.state == RELEASING and self.is_viewed() else ""
        return f"slot {self.index} {STATE_NAMES[self.state]}, producer {self.producer}{who}{why}"


HOST_DEVICE = 1  # DLPack's kDLCPU


class HostMemory:
    """A pool in this process's own memory, viewed through numpy and torch."""

    dlpack_device = (HOST_DEVICE, 0)

    def __init__(self, memory: np.ndarray) -> None:
        self._memory = memory
        self._bytes = memory.data
        self.address = memory.ctypes.data
        self._types: dict[int, Any] = {}

    def buffer(self, address: int, num_bytes: int) -> Any:
        buffer = self._type(num_bytes).from_address(address)
        buffer.memory = self._memory
        return buffer

    def array(self, buffer: Any, spec: TensorSpec, *, is_read_only: bool) -> np.ndarray:
        array: np.ndarray = np.ndarray(spec.shape, numpy_dtype(spec.dtype), buffer)
        array.flags.writeable = not is_read_only
        return array

    def tensor(self, buffer: Any, spec: TensorSpec) -> Any:
        import torch  # here, because a process that only writes arrays does not need it

        dtype = getattr(torch, spec.dtype)
        if spec.num_elements == 0:
            return torch.empty(spec.shape, dtype=dtype)
        return torch.frombuffer(buffer, dtype=dtype, count=spec.num_elements).reshape(spec.shape)

    def accept(self, tensor: Any) -> tuple[np.ndarray, str]:
        return as_array(tensor)

    def surface_of(self, source: Any) -> Surface:
        return "array"

    def copy_into(self, buffer: Any, spec: TensorSpec, source: np.ndarray) -> None:
        np.copyto(self.array(buffer, spec, is_read_only=False), source)

    def fill(self, address: int, array: np.ndarray) -> None:
        start = address - self.address
        self._bytes[start : start + array.nbytes] = array.tobytes()

    def read(self, address: int, num_bytes: int) -> memoryview:
        start = address - self.address
        return self._bytes[start : start + num_bytes]

    def _type(self, num_bytes: int) -> Any:
        """Not an ndarray subclass: a numpy slice refers to the base only, not to the subclass instance."""
        kind = self._types.get(num_bytes)
        if kind is None:
            kind = self._types[num_bytes] = type("SlotView", (ctypes.c_uint8 * num_bytes,), {})
        return kind


class SlotPool:
    """The memory of all slots, with a weak reference to the views of each."""

    def __init__(self, *, num_slots: int, stride: int, memory: PoolMemory, order: Order) -> None:
        self.order = order
        self._memory = memory
        self._stride = stride
        self.slots = [Slot(index, memory.address + index * stride) for index in range(num_slots)]

    def view(self, slot: Slot) -> Any:
        """A buffer over the slot. Every array, slice, tensor or DLPack capsule made from it keeps it alive.

        It has no finalizer: the mailbox checks the weak reference. So no code runs in the garbage collector
        or in a forked child.
        """
        view = slot.view() if slot.view is not None else None
        if view is None:
            view = self._memory.buffer(slot.address, self._stride)
            slot.view = weakref.ref(view)
        return view

    def accept(self, tensor: Any) -> tuple[Any, str]:
        """(source for `copy_into`, dtype name) of a user's tensor. Raises InputError if it is unsupported."""
        return self._memory.accept(tensor)

    def surface_of(self, source: Any) -> Surface:
        """The view whose current stream a copy from `source` uses."""
        return self._memory.surface_of(source)

    def copy_into(self, slot: Slot, source: Any) -> None:
        assert slot.spec is not None
        self._memory.copy_into(self.view(slot), slot.spec, source)

    def fill(self, slot: Slot, array: np.ndarray) -> None:
        """Copy the bytes of a small array in without making a tracked view."""
        self._memory.fill(slot.address, array)

    def array(self, slot: Slot, *, is_read_only: bool = False) -> Any:
        """The slot's tensor as an array on its memory: of numpy on the host, of CuPy on a device."""
        assert slot.spec is not None
        return self._memory.array(self.view(slot), slot.spec, is_read_only=is_read_only)

    def tensor(self, slot: Slot) -> Any:
        """The slot's tensor as a torch tensor on its memory."""
        assert slot.spec is not None
        return self._memory.tensor(self.view(slot), slot.spec)

    def dlpack(self, slot: Slot, options: dict[str, Any]) -> Any:
        """A DLPack capsule over the slot. It is made without a wait, because `Order.reading` has ordered the
        stream that reads.
        """
        if self.dlpack_device()[0] == HOST_DEVICE:
            return self.array(slot, is_read_only=True).__dlpack__(**options)
        return self.tensor(slot).__dlpack__(stream=-1)

    def dlpack_device(self) -> tuple[int, int]:
        return self._memory.dlpack_device

    def values(self, slot: Slot) -> np.ndarray:
        """A host copy of its values; empty for a dtype that numpy does not have."""
        assert slot.spec is not None
        if not has_numpy_values(slot.spec.dtype):
            return np.empty(0)
        return np.frombuffer(self._memory.read(slot.address, slot.spec.num_bytes), slot.spec.dtype).copy()

    def checksum(self, slot: Slot) -> int:
        assert slot.spec is not None
        return zlib.crc32(self._memory.read(slot.address, slot.spec.num_bytes))


def make_pool(*, num_slots: int, slot_bytes: int, backend: Backend) -> SlotPool:
    """A pool in the backend's device memory or, for a host backend, in memory that it allocates."""
    stride = -(-max(slot_bytes, 1) // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
    if isinstance(backend, DeviceBackend):
        return SlotPool(
            num_slots=num_slots,
            stride=stride,
            memory=backend.memory(num_slots * stride),
            order=backend.order(num_slots),
        )
    memory = HostMemory(backend.allocate(num_slots * stride))
    return SlotPool(num_slots=num_slots, stride=stride, memory=memory, order=ProgramOrder(backend))
