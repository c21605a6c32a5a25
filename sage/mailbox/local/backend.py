"""The memory of a mailbox: the interface between its logic and where its bytes are.

A backend is an allocator and a fence. A device's backend also defines how pool memory is viewed and how work
on it is ordered. Invariant: allocated memory stays valid while anything refers to the returned array, even
after the mailbox is closed.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from sage.mailbox.tensor_spec import TensorSpec

ALIGNMENT_BYTES = 128
Surface = Literal["array", "tensor"]


class Fence(Protocol):
    """The end of a consumer's work on a slot, which may be later than its release (a stream still reads)."""

    def is_passed(self) -> bool:
        """Whether the memory may be written again. Never blocks."""
        ...


class Backend(Protocol):
    """Allocator and fence. State machine, queues and rules are the same for all backends."""

    @property
    def name(self) -> str: ...

    def allocate(self, num_bytes: int) -> np.ndarray:
        """(num_bytes,) uint8, zeroed, its first byte aligned to ALIGNMENT_BYTES."""
        ...

    def fence(self) -> Fence | None:
        """Marks the work queued by the calling consumer so far; None if no work can be outstanding."""
        ...


class Memory(Protocol):
    """The memory of one pool; slots are viewed as arrays of the memory's library or as torch tensors."""

    @property
    def address(self) -> int: ...

    def buffer(self, address: int, num_bytes: int) -> Any:
        """A weakly referable object over these bytes; every array and tensor made from it keeps it alive."""
        ...

    def array(self, buffer: Any, spec: TensorSpec, *, is_read_only: bool) -> Any: ...

    def tensor(self, buffer: Any, spec: TensorSpec) -> Any: ...

    @property
    def dlpack_device(self) -> tuple[int, int]:
        """DLPack's device type and number: (1, 0) host, (2, n) CUDA, (3, n) CUDA's pinned host memory."""
        ...


class Transfer(Protocol):
    """Copies into a pool's memory and, for checks only, out of it."""

    def accept(self, tensor: Any) -> tuple[Any, str]:
        """(source for `copy_into` with shape and nbytes, dtype name). Raises InputError for unsupported
        input.
        """
        ...

    def surface_of(self, source: Any) -> Surface:
        """The view whose current stream `copy_into` and `fill` use for this source."""
        ...

    def copy_into(self, buffer: Any, spec: TensorSpec, source: Any) -> None: ...

    def fill(self, address: int, array: np.ndarray) -> None:
        """Copy the bytes of a small host array without making a tracked view."""
        ...

    def read(self, address: int, num_bytes: int) -> memoryview:
        """The bytes after all work queued on the current stream. Waits for it: debug mode and summaries
        only.
        """
        ...


class Order(Protocol):
    """Ordering of queued work, by slot index. Called with the mailbox's lock held."""

    def writing(self, index: int, surface: Surface) -> None:
        """Before the caller writes the slot: order it after all work of earlier generations."""
        ...

    def written(self, index: int) -> None:
        """At publish: readers are ordered after the writer's work queued so far."""
        ...

    def reading(self, index: int, surface: Surface, stream: int | None = None) -> None:
        """Before the caller reads the slot: order it after the writer's work. stream: DLPack's number of the
        stream that reads.
        """
        ...

    def retired(self, index: int, *, is_holder: bool) -> Fence | None:
        """The end of the readers' queued work; None if there was no reader, then the next writer is ordered
        after the last writer's work.

        is_holder: called by the reader at release; otherwise for a dropped slot, or after its last view
        ended.
        """
        ...

    def freed(self, index: int) -> None:
        """The generation is over."""
        ...


@runtime_checkable
class DeviceBackend(Protocol):
    """A backend whose focus pools are in other memory than its records."""

    def memory(self, num_bytes: int) -> PoolMemory: ...

    def order(self, num_slots: int) -> Order: ...


class PoolMemory(Memory, Transfer, Protocol):
    """Views of a pool's memory, and copies into it."""


class HostBackend:
    """This process's own memory. Work on it is complete when a call returns, so that fences are None."""

    name = "host"

    def allocate(self, num_bytes: int) -> np.ndarray:
        memory = np.zeros(num_bytes + ALIGNMENT_BYTES, dtype=np.uint8)
        offset = -memory.ctypes.data % ALIGNMENT_BYTES
        return memory[offset : offset + num_bytes]

    def fence(self) -> Fence | None:
        return None


class ProgramOrder:
    """Ordering for memory where work is complete when its call returns: only the backend's fence applies."""

    def __init__(self, backend: Backend) -> None:
        self._fence = backend.fence

    def writing(self, index: int, surface: Surface) -> None:
        return

    def written(self, index: int) -> None:
        return

    def reading(self, index: int, surface: Surface, stream: int | None = None) -> None:
        return

    def retired(self, index: int, *, is_holder: bool) -> Fence | None:
        return self._fence() if is_holder else None

    def freed(self, index: int) -> None:
        return
