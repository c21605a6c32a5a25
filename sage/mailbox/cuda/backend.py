"""The CUDA backend: tensors in device memory, records in pinned host memory that kernels can access.

Control stays in host memory and uses the same code as on the host; a push queues an event and returns.
Invariant: no call from `loan` to `release` blocks the host, copies a tensor or allocates.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from sage.errors import InputError
from sage.mailbox.cuda.driver import CudaError, DeviceFacts, Driver
from sage.mailbox.cuda.order import EventFence, EventPool, StreamOrder
from sage.mailbox.cuda.unified_probe import why_not_mapped
from sage.mailbox.cuda.views import host_view
from sage.mailbox.local.backend import Fence, Order, PoolMemory, ProgramOrder, Surface
from sage.mailbox.local.slot import HostMemory

Placement = Literal["device", "mapped", "pinned", "auto"]
PLACEMENTS = ("device", "mapped", "pinned", "auto")


class CudaBackend:
    """Memory of one CUDA device for mailboxes.

    placement: "device", device memory; "mapped", pinned host memory, `.array` is a numpy array and `.tensor`
    a device tensor at the same address (a host reader waits for the kernel that writes); "pinned", arrays and
    tensors on the host, for asynchronous copies: a slot is reused once its reader's queued copies are done;
    "auto", "mapped" where processor and GPU share one memory (a Jetson) and a probe of it works, else
    "device". The attribute `placement` has what was chosen.
    stream: the driver's handle of the one stream that all work is queued on; None: the current stream of
    torch (for `.tensor`) or CuPy (for `.array`) at each call.  driver: None opens the installed one.
    Raises CudaError with what is missing.
    """

    def __init__(
        self,
        device: int = 0,
        *,
        placement: Placement = "device",
        stream: int | None = None,
        driver: Driver | None = None,
    ) -> None:
        if placement not in PLACEMENTS:
            raise InputError(f"placement is {placement!r}: give one of {', '.join(PLACEMENTS)}")
        self._driver = driver if driver is not None else open_driver(device)
        if self._driver.facts.index != device:
            raise InputError(
                f"device is {device}, the driver given is of device {self._driver.facts.index}: give one of"
                " the two"
            )
        self.device = device
        self.placement = choose_placement(self._driver) if placement == "auto" else placement
        placement = self.placement
        self.stream = stream
        self.name = f"cuda:{device}" if placement == "device" else f"cuda:{device} {placement}"
        self._events: EventPool | None = None

    @property
    def driver(self) -> Driver:
        return self._driver

    @property
    def facts(self) -> DeviceFacts:
        return self._driver.facts

    def allocate(self, num_bytes: int) -> np.ndarray:
        """Pinned host memory for records, zeroed; kernels use the same address (unified addressing)."""
        return host_view(self._driver.allocate_mapped(num_bytes))

    def fence(self) -> Fence | None:
        """Marks the work queued on this thread's current streams so far; None if they are idle."""
        current = (self._driver.current_stream("tensor"), self._driver.current_stream("array"))
        streams = sorted(set(current)) if self.stream is None else [self.stream]
        busy = [stream for stream in streams if not self._driver.is_idle(stream)]
        if not busy:
            return None
        if self._events is None:
            self._events = EventPool(self._driver, 4)
        fence = EventFence(self._driver, self._events)
        fence.add([self._events.mark(stream) for stream in busy])
        return fence

    def memory(self, num_bytes: int) -> PoolMemory:
        if self.placement == "pinned":
            return HostMemory(self.allocate(num_bytes))
        is_mapped = self.placement == "mapped"
        allocation = (
            self._driver.allocate_mapped(num_bytes) if is_mapped else self._driver.allocate(num_bytes)
        )
        return self._driver.pool(allocation, self.stream)

    def order(self, num_slots: int) -> Order:
        if self.placement == "pinned":
            return ProgramOrder(self)
        host_surface: Surface | None = "array" if self.placement == "mapped" else None
        return StreamOrder(self._driver, num_slots=num_slots, stream=self.stream, host_surface=host_surface)

    def read_by(self, reader: CudaBackend) -> None:
        """Let kernels on `reader`'s device read this device's pools directly. Raises CudaError if the two are
        not connected.
        """
        if reader.device != self.device and not reader.driver.enable_peer(self.device):
            raise CudaError(
                f"{reader.name} cannot read {self.name} directly (no NVLink and no common PCIe switch): "
                'send() to a mailbox of its own, or use placement="mapped"'
            )


def choose_placement(driver: Driver) -> Placement:
    """ "mapped" where it saves the copy to the device's memory and works, else "device"."""
    is_unified = driver.facts.is_integrated and why_not_mapped(driver) is None
    return "mapped" if is_unified else "device"


def open_driver(device: int = 0) -> Driver:
    """The installed driver for `device`. Raises CudaError with what is missing."""
    from sage.mailbox.cuda.libcuda import LibcudaDriver

    return LibcudaDriver(device)


def why_no_cuda(device: int = 0) -> str | None:
    """None if `CudaBackend(device)` works; else the reason, in one line."""
    try:
        open_driver(device)
    except CudaError as error:
        return str(error)
    return None
