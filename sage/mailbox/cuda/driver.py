"""The few CUDA calls that mailboxes are made of, as small protocols: the real driver and the fake are two of
each.

Invariant: nothing here blocks except `Copies.synchronize`, and only debug mode, staging and reads of results
call that. Streams and events are the driver's own handles (CUstream, CUevent) as integers: torch's and CuPy's
are the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from sage.mailbox.errors import MailboxError
from sage.mailbox.local.backend import PoolMemory, Surface

LEGACY_STREAM = 0


class CudaError(MailboxError):
    """The CUDA driver refused, or is absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """Memory that stays while `owner` does.  address: as kernels see it.  host_address: as this process sees
    it, or None.
    """

    address: int
    num_bytes: int
    owner: Any
    host_address: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFacts:
    """What decides between paths. is_integrated: shares the processor's memory (Tegra): no memory IPC
    there.
    """

    index: int
    name: str
    capability: tuple[int, int]
    is_integrated: bool
    has_memory_ipc: bool
    num_devices: int


class Streams(Protocol):
    """Work that is queued, and marks in it."""

    def create_event(self, *, is_shared: bool = False) -> int:
        """Without timing, so that a record is cheap.  is_shared: can be exported to another process."""
        ...

    def record(self, event: int, stream: int) -> None: ...

    def wait(self, stream: int, event: int) -> None:
        """What is queued on `stream` from now on comes after the event's latest record. The host does not
        wait.
        """
        ...

    def is_done(self, event: int) -> bool: ...

    def is_capturing(self, stream: int) -> bool: ...


class Gates(Protocol):
    """A word that a stream waits for and the host can always set: nobody's death can hold the stream."""

    def wait_value(self, stream: int, address: int, value: int) -> None:
        """`stream` goes on once the u32 at `address` is at least `value` (cyclic compare)."""
        ...


class Allocator(Protocol):
    """Memory, zeroed, aligned to 256 bytes."""

    @property
    def facts(self) -> DeviceFacts: ...

    def allocate(self, num_bytes: int) -> Allocation:
        """Device memory, from the driver itself: no caching allocator ever moves or splits it."""
        ...

    def allocate_mapped(self, num_bytes: int) -> Allocation:
        """Pinned host memory that kernels see too."""
        ...

    def register(self, address: int, num_bytes: int, owner: Any) -> Allocation:
        """Host memory that exists already, made visible to kernels; the caller keeps it, `owner` with it."""
        ...

    def enable_peer(self, peer: int) -> bool:
        """Let this device read and write `peer`'s memory directly; False where the hardware cannot."""
        ...


class Copies(Protocol):
    """Bytes from one address to another, on a stream."""

    def copy(self, target: int, source: int, num_bytes: int, stream: int) -> None: ...

    def synchronize(self, stream: int) -> None:
        """Block the host until `stream` is done."""
        ...

    def is_idle(self, stream: int) -> bool:
        """True when nothing is queued on it. Never blocks."""
        ...


class Sharing(Protocol):
    """Handles that another process can open."""

    def is_shareable(self, address: int) -> bool:
        """False for memory made of virtual segments (torch's expandable_segments), which have no such
        handle.
        """
        ...

    def export_memory(self, address: int) -> bytes: ...

    def open_memory(self, handle: bytes) -> Allocation:
        """Unmapped when the allocation's owner is let go."""
        ...

    def export_event(self, event: int) -> bytes: ...

    def open_event(self, handle: bytes) -> int: ...


class Surfaces(Protocol):
    """How Python sees device memory, and where it is queueing work just now."""

    def current_stream(self, surface: Surface) -> int:
        """The stream that whoever asks for this surface queues on: torch's current, or CuPy's."""
        ...

    def pool(self, allocation: Allocation, stream: int | None = None) -> PoolMemory:
        """stream: where its own copies are queued; None for whatever is current."""
        ...


class Driver(Streams, Gates, Allocator, Copies, Sharing, Surfaces, Protocol):
    """All of it."""
