"""The CUDA calls that mailboxes use, as small Protocols, which the real driver and the fake one implement.

Invariant: only `Copies.synchronize` blocks, and only debug mode, staging and reads of results call it.
Streams and events are the driver's handles (CUstream, CUevent) as integers, the same as in torch and CuPy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from sage.mailbox.errors import MailboxError
from sage.mailbox.local.backend import PoolMemory, Surface

LEGACY_STREAM = 0


class CudaError(MailboxError):
    """A CUDA call failed, or there is no driver."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """Memory that exists while `owner` does.  address: for kernels.  host_address: for this process, or
    None.
    """

    address: int
    num_bytes: int
    owner: Any
    host_address: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFacts:
    """Attributes of a device.  is_integrated: it shares the processor's memory (Tegra) and has no memory
    IPC.
    """

    index: int
    name: str
    capability: tuple[int, int]
    is_integrated: bool
    has_memory_ipc: bool
    num_devices: int


class Streams(Protocol):
    """Ordering of queued work with events."""

    def create_event(self, *, is_shared: bool = False) -> int:
        """An event without timing, which is cheap to record.  is_shared: it can be exported to another
        process.
        """
        ...

    def record(self, event: int, stream: int) -> None: ...

    def wait(self, stream: int, event: int) -> None:
        """Order work queued on `stream` from now on after the event's latest record. The host does not
        wait.
        """
        ...

    def is_done(self, event: int) -> bool: ...

    def is_capturing(self, stream: int) -> bool: ...


class Gates(Protocol):
    """Waits for a word that the host can always set, so that no dead process blocks the stream."""

    def wait_value(self, stream: int, address: int, value: int) -> None:
        """`stream` waits until the u32 at `address` is at least `value` (cyclic comparison)."""
        ...


class Allocator(Protocol):
    """Memory, zeroed, aligned to 256 bytes."""

    @property
    def facts(self) -> DeviceFacts: ...

    def allocate(self, num_bytes: int) -> Allocation:
        """Device memory of the driver, not of a caching allocator, which could move or split it."""
        ...

    def allocate_mapped(self, num_bytes: int) -> Allocation:
        """Pinned host memory that kernels can access."""
        ...

    def register(self, address: int, num_bytes: int, owner: Any) -> Allocation:
        """Make existing host memory accessible to kernels. The caller must keep it while `owner` exists."""
        ...

    def enable_peer(self, peer: int) -> bool:
        """Let this device access `peer`'s memory directly; False if the hardware cannot."""
        ...


class Copies(Protocol):
    """Bytes from one address to another, on a stream."""

    def copy(self, target: int, source: int, num_bytes: int, stream: int) -> None: ...

    def synchronize(self, stream: int) -> None:
        """Block the host until `stream` is idle."""
        ...

    def is_idle(self, stream: int) -> bool:
        """Whether no work is queued on it. Never blocks."""
        ...


class Sharing(Protocol):
    """Memory and events that another process can open."""

    def is_shareable(self, address: int) -> bool:
        """False for memory made of virtual segments (torch's expandable_segments), which has no IPC
        handle.
        """
        ...

    def export_memory(self, address: int) -> bytes: ...

    def open_memory(self, handle: bytes) -> Allocation:
        """Map another process's memory; it is unmapped when the allocation's owner is freed."""
        ...

    def export_event(self, event: int) -> bytes: ...

    def open_event(self, handle: bytes) -> int: ...


class Surfaces(Protocol):
    """Views of device memory, and the current streams."""

    def current_stream(self, surface: Surface) -> int:
        """The current stream for this kind of view: of torch (tensor) or CuPy (array)."""
        ...

    def pool(self, allocation: Allocation, stream: int | None = None) -> PoolMemory:
        """stream: for its own copies; None: the current one."""
        ...


class Driver(Streams, Gates, Allocator, Copies, Sharing, Surfaces, Protocol):
    """Everything that a backend needs of a driver."""
