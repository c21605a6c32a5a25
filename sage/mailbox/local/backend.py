"""Where a mailbox's bytes live: the seam between its logic and its memory.

A backend is an allocator and a fence; one whose memory is not the processor's own also says how a pool is
looked at and who waits for whom. Invariant: memory it gave out stays valid for as long as anything refers to
the array it returned, closed mailbox or not.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from sage.mailbox.tensor_spec import TensorSpec

ALIGNMENT_BYTES = 128
Surface = Literal["array", "tensor"]


class Fence(Protocol):
    """The end of a consumer's work on a slot, which may come after its release (a stream that still
    reads).
    """

    def is_passed(self) -> bool:
        """True once the memory may be written again. Never blocks."""
        ...


class Backend(Protocol):
    """Allocator and fence; the state machine, the queues and the rules are the same on all of them."""

    @property
    def name(self) -> str: ...

    def allocate(self, num_bytes: int) -> np.ndarray:
        """(num_bytes,) uint8, zeroed, its first byte aligned to ALIGNMENT_BYTES."""
        ...

    def fence(self) -> Fence | None:
        """Marks what the calling consumer has queued so far; None when nothing can be outstanding."""
        ...


class Memory(Protocol):
    """One pool's memory, as its slots are looked at: as an array of the memory's own library, or as a torch
    tensor.
    """

    @property
    def address(self) -> int: ...

    def buffer(self, address: int, num_bytes: int) -> Any:
        """A weakly referable object over these bytes that every array and tensor made from it keeps alive."""
        ...

    def array(self, buffer: Any, spec: TensorSpec, *, is_read_only: bool) -> Any: ...

    def tensor(self, buffer: Any, spec: TensorSpec) -> Any: ...

    @property
    def dlpack_device(self) -> tuple[int, int]:
        """DLPack's device type and number: (1, 0) for the host, (2, n) for CUDA, (3, n) for its pinned
        memory.
        """
        ...


class Transfer(Protocol):
    """How bytes get into a pool's memory and, for checks alone, out of it."""

    def accept(self, tensor: Any) -> tuple[Any, str]:
        """(what `copy_into` takes, with shape and nbytes; dtype name). InputError for what cannot travel."""
        ...

    def surface_of(self, source: Any) -> Surface:
        """Whose stream `copy_into` and `fill` queue on for this source."""
        ...

    def copy_into(self, buffer: Any, spec: TensorSpec, source: Any) -> None: ...

    def fill(self, address: int, array: np.ndarray) -> None:
        """The bytes of a small host array, without a view that would have to be watched."""
        ...

    def read(self, address: int, num_bytes: int) -> memoryview:
        """The bytes as they will be when the current stream gets here. Waits for it: debug mode and summaries
        only.
        """
        ...


class Order(Protocol):
    """Who waits for whom, by slot index, where work is queued and done later. Called under the mailbox's
    lock.
    """

    def writing(self, index: int, surface: Surface) -> None:
        """The caller is given the slot to write: after all that earlier generations left queued."""
        ...

    def written(self, index: int) -> None:
        """Publish: readers come after what the writer has queued so far."""
        ...

    def reading(self, index: int, surface: Surface, stream: int | None = None) -> None:
        """The caller is given the slot to read: after the writer's work. stream: the DLPack number of the one
        it reads on.
        """
        ...

    def retired(self, index: int, *, is_holder: bool) -> Fence | None:
        """The end of what readers queued; None where nobody read: then the next writer comes after the last
        one's work.

        is_holder: the reader itself releases; otherwise somebody finds that a slot was dropped, or its last
        view gone.
        """
        ...

    def freed(self, index: int) -> None:
        """The generation is over."""
        ...


@runtime_checkable
class DeviceBackend(Protocol):
    """A backend whose focus pools lie elsewhere than its records."""

    def memory(self, num_bytes: int) -> PoolMemory: ...

    def order(self, num_slots: int) -> Order: ...


class PoolMemory(Memory, Transfer, Protocol):
    """Both sides of a pool's memory."""


class HostBackend:
    """This process's own memory. Work on it is done when the call returns, so there is never a fence to wait
    for.
    """

    name = "host"

    def allocate(self, num_bytes: int) -> np.ndarray:
        memory = np.zeros(num_bytes + ALIGNMENT_BYTES, dtype=np.uint8)
        offset = -memory.ctypes.data % ALIGNMENT_BYTES
        return memory[offset : offset + num_bytes]

    def fence(self) -> Fence | None:
        return None


class ProgramOrder:
    """Work is done when its call returns: nobody waits for anybody, and the backend's own fence is all there
    is.
    """

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
