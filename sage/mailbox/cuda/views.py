"""Views of device memory: torch tensors, CuPy arrays and DLPack over the addresses of a pool.

Invariant: every view made from a buffer keeps it alive, so that the pool can check whether views exist.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import numpy as np

from sage.errors import InputError
from sage.mailbox.cuda.driver import LEGACY_STREAM, Allocation, Copies, CudaError
from sage.mailbox.intake import as_array, has_numpy_values, numpy_dtype
from sage.mailbox.local.backend import Surface
from sage.mailbox.local.slot import HostMemory
from sage.mailbox.tensor_spec import ITEM_BYTES, TensorSpec

_WITHOUT_CUPY = (
    "CuPy, which device arrays need, is not installed: use .tensor, or install cupy-cuda13x"
    " (cupy-cuda12x for CUDA 12)"
)


def current_stream(surface: Surface, device: int) -> int:
    """The current stream of torch (tensor) or CuPy (array) in this thread; the legacy stream if it is not
    loaded.
    """
    torch, cupy = sys.modules.get("torch"), sys.modules.get("cupy")
    if surface == "tensor" and torch is not None and torch.cuda.is_initialized():
        # torch's public function makes a Stream object: 9 us instead of 0.2 on an H100's host, four per
        # hand-off.
        raw = getattr(torch._C, "_cuda_getCurrentRawStream", None)
        return int(torch.cuda.current_stream(device).cuda_stream if raw is None else raw(device))
    if surface == "array" and cupy is not None:
        return int(cupy.cuda.get_current_stream().ptr)
    return LEGACY_STREAM


def host_view(allocation: Allocation) -> np.ndarray:
    """(num_bytes,) uint8 over memory that the host can access; its views keep the allocation alive."""
    assert allocation.host_address is not None
    block: Any = (ctypes.c_uint8 * allocation.num_bytes).from_address(allocation.host_address)
    block.owner = allocation.owner
    return np.frombuffer(block, dtype=np.uint8)


class DeviceBuffer:
    """Bytes on a device with the CUDA array interface; views of torch and CuPy keep this object alive."""

    __slots__ = ("__cuda_array_interface__", "__weakref__", "address", "num_bytes", "owner")

    def __init__(self, address: int, num_bytes: int, owner: Any) -> None:
        self.address = address
        self.num_bytes = num_bytes
        self.owner = owner
        self.__cuda_array_interface__ = _interface(address, (num_bytes,), "|u1")


class TypedBuffer:
    """The same bytes with a shape and a dtype, so that a library makes its view in one step."""

    __slots__ = ("__cuda_array_interface__", "owner")

    def __init__(self, buffer: DeviceBuffer, spec: TensorSpec) -> None:
        self.owner = buffer
        self.__cuda_array_interface__ = _interface(buffer.address, spec.shape, numpy_dtype(spec.dtype).str)


def _interface(address: int, shape: tuple[int, ...], typestr: str) -> dict[str, Any]:
    # version 2 has no stream: the mailbox's events order the work
    return {"shape": shape, "typestr": typestr, "data": (address, False), "strides": None, "version": 2}


class DeviceMemory:
    """A pool in device memory."""

    def __init__(
        self, driver: Copies, allocation: Allocation, device: int, stream: int | None = None
    ) -> None:
        self._driver = driver
        self._allocation = allocation
        self._device = device
        self._stream = stream
        self.address = allocation.address
        self.dlpack_device = (2, device)
        self._name = f"cuda:{device}"

    def buffer(self, address: int, num_bytes: int) -> DeviceBuffer:
        return DeviceBuffer(address, num_bytes, self._allocation.owner)

    def array(self, buffer: DeviceBuffer, spec: TensorSpec, *, is_read_only: bool) -> Any:
        """A CuPy array. CuPy has no read-only arrays; those of bfloat16 and float8 contain bits."""
        try:
            import cupy
        except ImportError as error:
            raise CudaError(_WITHOUT_CUPY) from error
        memory = cupy.cuda.UnownedMemory(buffer.address, buffer.num_bytes, buffer, self._device)
        return cupy.ndarray(spec.shape, numpy_dtype(spec.dtype), cupy.cuda.MemoryPointer(memory, 0))

    def tensor(self, buffer: DeviceBuffer, spec: TensorSpec) -> Any:
        import torch

        if spec.num_elements == 0:
            return torch.empty(spec.shape, dtype=getattr(torch, spec.dtype), device=self._name)
        if has_numpy_values(spec.dtype):
            return torch.as_tensor(TypedBuffer(buffer, spec), device=self._name)  # no copy
        whole = torch.as_tensor(buffer, device=self._name)  # (num_bytes,) uint8, no copy
        return whole[: spec.num_bytes].view(getattr(torch, spec.dtype)).reshape(spec.shape)

    def accept(self, tensor: Any) -> tuple[Any, str]:
        """A host array or tensor, or a torch tensor or CuPy array of this device. Raises InputError for
        another device or dtype.
        """
        return accept_on(tensor, self._device)

    def surface_of(self, source: Any) -> Surface:
        """CuPy arrays are copied on CuPy's stream, everything else on torch's."""
        cupy = sys.modules.get("cupy")
        return "array" if cupy is not None and isinstance(source, cupy.ndarray) else "tensor"

    def copy_into(self, buffer: DeviceBuffer, spec: TensorSpec, source: Any) -> None:
        """Queue the copy on the current stream; pageable host memory is read before this returns."""
        if self.surface_of(source) == "array":
            self.array(buffer, spec, is_read_only=False)[...] = source
        elif isinstance(source, np.ndarray):
            self.fill(buffer.address, source)
        else:
            import torch

            with torch.cuda.stream(
                None if self._stream is None else torch.cuda.ExternalStream(self._stream, self._name)
            ):
                self.tensor(buffer, spec).copy_(source, non_blocking=True)

    def fill(self, address: int, array: np.ndarray) -> None:
        contiguous = np.ascontiguousarray(array)
        self._driver.copy(address, contiguous.ctypes.data, contiguous.nbytes, self.current())

    def read(self, address: int, num_bytes: int) -> memoryview:
        out = np.empty(num_bytes, dtype=np.uint8)
        stream = self.current()
        self._driver.copy(out.ctypes.data, address, num_bytes, stream)
        self._driver.synchronize(stream)  # sync: for a checksum or a summary on the host
        return out.data

    def current(self) -> int:
        return current_stream("tensor", self._device) if self._stream is None else self._stream


class MappedMemory:
    """A pool in pinned host memory: numpy arrays and device tensors of the same bytes."""

    def __init__(
        self, driver: Copies, allocation: Allocation, device: int, stream: int | None = None
    ) -> None:
        assert allocation.host_address is not None
        self._offset = allocation.address - allocation.host_address
        self._host = HostMemory(host_view(allocation))
        self._device = DeviceMemory(driver, allocation, device, stream)
        self.address = self._host.address
        self.dlpack_device = self._device.dlpack_device
        self.accept = self._host.accept
        self.surface_of = self._host.surface_of
        self.fill = self._host.fill
        self.buffer = self._host.buffer
        self.array = self._host.array
        self.copy_into = self._host.copy_into
        self._driver = driver
        self._current = self._device.current

    def tensor(self, buffer: Any, spec: TensorSpec) -> Any:
        # owned by the slot's buffer, which therefore exists while views of this one do
        shown = DeviceBuffer(ctypes.addressof(buffer) + self._offset, ctypes.sizeof(buffer), buffer)
        return self._device.tensor(shown, spec)

    def read(self, address: int, num_bytes: int) -> memoryview:
        self._driver.synchronize(self._current())  # sync: a kernel may still write it
        return self._host.read(address, num_bytes)


def accept_on(tensor: Any, device: int) -> tuple[Any, str]:
    """(source, dtype name) of a tensor on the host or on `device`. Raises InputError for another device or
    dtype.
    """
    torch, cupy = sys.modules.get("torch"), sys.modules.get("cupy")
    if torch is not None and isinstance(tensor, torch.Tensor) and tensor.device.type != "cpu":
        _check(str(tensor.dtype).removeprefix("torch."), str(tensor.device), tensor.device.index, device)
        return tensor.detach(), str(tensor.dtype).removeprefix("torch.")
    if cupy is not None and isinstance(tensor, cupy.ndarray):
        _check(tensor.dtype.name, f"cuda:{tensor.device.id}", tensor.device.id, device)
        return tensor, str(tensor.dtype.name)
    return as_array(tensor)


def _check(dtype: str, has: str, index: int | None, device: int) -> None:
    if not has.startswith("cuda") or index != device:
        raise InputError(
            f"the tensor is on {has}, this mailbox on cuda:{device}: move it there, or loan a slot and write"
            " into it"
        )
    if dtype not in ITEM_BYTES:
        raise InputError(f"dtype is {dtype}: give one of {', '.join(sorted(ITEM_BYTES))}")
