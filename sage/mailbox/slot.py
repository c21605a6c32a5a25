"""One piece of a focus pool: its state, its generation, and whether anybody still looks at its memory.

FREE -> LOANED -> PUBLISHED -> BORROWED -> RELEASING -> FREE with the next generation.
Invariant: a slot becomes FREE only when no view of it is left and its consumer's fence has passed.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
import zlib
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from sage.mailbox.backend import ALIGNMENT_BYTES, Backend, Fence
from sage.mailbox.tensor_spec import TensorSpec

FREE, LOANED, PUBLISHED, BORROWED, RELEASING = range(5)
STATE_NAMES = ("free", "loaned", "published", "borrowed", "releasing")

#: numpy has no type for these: arrays carry their bits, `tensor` the real dtype.
_BITS = {"bfloat16": "uint16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8"}


@cache
def numpy_dtype(name: str) -> np.dtype:
    """The numpy dtype that carries elements of `name`."""
    return np.dtype(_BITS.get(name, name))


def has_numpy_values(dtype: str) -> bool:
    """False where a numpy view shows bits, not values (bfloat16 and the float8 kinds)."""
    return dtype not in _BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class FocusMeta:
    """What travels beside a tensor.  deadline_ns: on the mailbox's clock, None without a TTL."""

    sequence: int
    stamp_ns: int
    producer: int
    trust: float
    quality: float
    generation: int
    slot: int
    deadline_ns: int | None


class Slot:
    """Fields are of the current generation, written under the mailbox's lock.

    handle: the Loan or Lease that has it now, weakly.  view: the memory that arrays and tensors of this generation
    share, weakly, None before one was asked for.  order: of publication.  thread: who loaned or received it.
    """

    __slots__ = (
        "address", "checksum", "deadline_ns", "fence", "generation", "handle", "index", "order", "producer", "pushed_ns",
        "quality", "received_ns", "sequence", "spec", "stamp_ns", "state", "thread", "trust", "view",
    )  # fmt: skip

    def __init__(self, index: int, address: int) -> None:
        self.index, self.address = index, address
        self.state, self.generation = FREE, 1
        self.producer = self.thread = self.order = self.sequence = self.stamp_ns = self.pushed_ns = self.received_ns = 0
        self.trust = self.quality = 1.0
        self.deadline_ns: int | None = None
        self.checksum: int | None = None
        self.spec: TensorSpec | None = None
        self.fence: Fence | None = None
        self.handle: weakref.ref[Any] | None = None
        self.view: weakref.ref[Any] | None = None

    @property
    def word(self) -> int:
        """Slot and generation as a record's header has them: one 64-bit word."""
        return self.index | self.generation << 32

    def is_viewed(self) -> bool:
        return self.view is not None and self.view() is not None

    def is_abandoned(self) -> bool:
        """Its loan or lease was dropped without an end."""
        return self.state in (LOANED, BORROWED) and self.handle is not None and self.handle() is None

    def is_idle(self) -> bool:
        """Nobody can read or write its memory any more."""
        return not self.is_viewed() and (self.fence is None or self.fence.is_passed())

    def meta(self) -> FocusMeta:
        return FocusMeta(
            sequence=self.sequence, stamp_ns=self.stamp_ns, producer=self.producer, trust=self.trust, quality=self.quality,
            generation=self.generation, slot=self.index, deadline_ns=self.deadline_ns,
        )  # fmt: skip

    def describe(self) -> str:
        """Who has it, for an error message."""
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        thread = names.get(self.thread, "an ended thread")
        who = f" in {thread}" if self.state in (LOANED, BORROWED, RELEASING) else ""
        why = " (views of it are alive)" if self.state == RELEASING and self.is_viewed() else ""
        return f"slot {self.index} {STATE_NAMES[self.state]}, producer {self.producer}{who}{why}"


class SlotPool:
    """The memory of all slots, and views into it that know when the last of them has gone."""

    def __init__(self, *, num_slots: int, slot_bytes: int, backend: Backend) -> None:
        stride = -(-max(slot_bytes, 1) // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        self._memory = backend.allocate(num_slots * stride)
        self._bytes, self._stride = self._memory.data, stride
        address = self._memory.ctypes.data
        self.slots = [Slot(index, address + index * stride) for index in range(num_slots)]
        # an ndarray subclass would not do: numpy lets slices skip it and keep only its base alive
        self._view_type: Any = type("SlotView", (ctypes.c_uint8 * stride,), {})

    def view(self, slot: Slot) -> Any:
        """A buffer over the slot. Every array, slice, tensor or DLPack child made from it keeps it alive.

        Nothing runs when it dies: the mailbox asks the weak reference. So there is no code in the garbage
        collector, and none in a forked child.
        """
        view = slot.view() if slot.view is not None else None
        if view is None:
            view = self._view_type.from_address(slot.address)
            view.memory = self._memory
            slot.view = weakref.ref(view)
        return view

    def fill(self, slot: Slot, array: np.ndarray) -> None:
        """Copy the bytes of a small array in, without a view that would have to be watched."""
        start = slot.index * self._stride
        self._bytes[start : start + array.nbytes] = array.tobytes()

    def array(self, slot: Slot, *, is_read_only: bool = False) -> np.ndarray:
        """The slot's tensor as an array on its memory."""
        assert slot.spec is not None
        array: np.ndarray = np.ndarray(slot.spec.shape, numpy_dtype(slot.spec.dtype), self.view(slot))
        array.flags.writeable = not is_read_only
        return array

    def tensor(self, slot: Slot) -> Any:
        """The slot's tensor as a torch tensor on its memory."""
        import torch  # a sensor process that only writes arrays never pays for it

        assert slot.spec is not None
        dtype = getattr(torch, slot.spec.dtype)
        if slot.spec.num_elements == 0:
            return torch.empty(slot.spec.shape, dtype=dtype)
        return torch.frombuffer(self.view(slot), dtype=dtype, count=slot.spec.num_elements).reshape(slot.spec.shape)

    def checksum(self, slot: Slot) -> int:
        assert slot.spec is not None
        return zlib.crc32(memoryview(self._view_type.from_address(slot.address)).cast("B")[: slot.spec.num_bytes])
