"""The real CUDA driver: libcuda called through ctypes. It comes with the NVIDIA driver; nothing else is
needed.

It uses the device's primary context, as torch, CuPy and Numba do, so that handles and addresses are shared.
Invariant: every call is checked; an error has the name of the call and the driver's message.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from ctypes import POINTER, byref, c_char, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from functools import cache
from typing import Any

from sage.mailbox.cuda.driver import LEGACY_STREAM, Allocation, CudaError, DeviceFacts
from sage.mailbox.cuda.views import DeviceMemory, MappedMemory, current_stream
from sage.mailbox.local.backend import PoolMemory, Surface

LIBRARY = "libcuda.so.1"
_DISABLE_TIMING, _INTERPROCESS = 2, 4
_PORTABLE, _DEVICEMAP = 1, 2
_WAIT_GEQ = 0
_LAZY_PEER_ACCESS = 1
_INTEGRATED, _MAJOR, _MINOR = (
    18,
    75,
    76,
)  # CUdevice_attribute; whether memory has IPC follows from `integrated`
_LEGACY_IPC_CAPABLE = 10  # CUpointer_attribute
_NOT_READY, _PEER_ALREADY_ENABLED = 600, 704
_HANDLE_BYTES = 64


class IpcHandle(ctypes.Structure):
    """CUipcMemHandle and CUipcEventHandle: 64 bytes, passed by value to open."""

    _fields_ = [("reserved", c_char * _HANDLE_BYTES)]


_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuGetErrorString": (c_int, POINTER(c_char_p)),
    "cuDeviceGetCount": (POINTER(c_int),),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetName": (c_char_p, c_int, c_int),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cuDeviceCanAccessPeer": (POINTER(c_int), c_int, c_int),
    "cuDevicePrimaryCtxRetain": (POINTER(c_void_p), c_int),
    "cuCtxGetCurrent": (POINTER(c_void_p),),
    "cuCtxPushCurrent_v2": (c_void_p,),
    "cuCtxPopCurrent_v2": (POINTER(c_void_p),),
    "cuCtxEnablePeerAccess": (c_void_p, c_uint),
    "cuMemAlloc_v2": (POINTER(c_uint64), c_size_t),
    "cuMemFree_v2": (c_uint64,),
    "cuMemHostAlloc": (POINTER(c_void_p), c_size_t, c_uint),
    "cuMemFreeHost": (c_void_p,),
    "cuMemHostRegister_v2": (c_void_p, c_size_t, c_uint),
    "cuMemHostUnregister": (c_void_p,),
    "cuMemHostGetDevicePointer_v2": (POINTER(c_uint64), c_void_p, c_uint),
    "cuMemsetD8_v2": (c_uint64, ctypes.c_ubyte, c_size_t),
    "cuMemcpyAsync": (c_uint64, c_uint64, c_size_t, c_void_p),
    "cuEventCreate": (POINTER(c_void_p), c_uint),
    "cuEventRecord": (c_void_p, c_void_p),
    "cuEventQuery": (c_void_p,),
    "cuStreamWaitEvent": (c_void_p, c_void_p, c_uint),
    "cuStreamWaitValue32_v2": (c_void_p, c_uint64, c_uint, c_uint),
    "cuStreamIsCapturing": (c_void_p, POINTER(c_int)),
    "cuStreamSynchronize": (c_void_p,),
    "cuStreamQuery": (c_void_p,),
    "cuPointerGetAttribute": (c_void_p, c_int, c_uint64),
    "cuIpcGetMemHandle": (POINTER(IpcHandle), c_uint64),
    "cuIpcOpenMemHandle_v2": (POINTER(c_uint64), IpcHandle, c_uint),
    "cuIpcCloseMemHandle": (c_uint64,),
    "cuIpcGetEventHandle": (POINTER(IpcHandle), c_void_p),
    "cuIpcOpenEventHandle": (POINTER(c_void_p), IpcHandle),
}


class Library:
    """libcuda's functions with their types. Raises CudaError if there is none, or it cannot be
    initialised.
    """

    def __init__(self, name: str = LIBRARY) -> None:
        try:
            self._library = ctypes.CDLL(name)
        except OSError as error:
            raise CudaError(
                f"no NVIDIA driver on this machine ({name} not found): install one, or use the host"
            ) from error
        for function, arguments in _SIGNATURES.items():
            found = getattr(self._library, function)
            found.argtypes = arguments
            found.restype = c_int
            setattr(self, function, found)
        self.check("cuInit", 0)

    def check(self, function: str, *arguments: Any, allowed: tuple[int, ...] = ()) -> int:
        """Call the function; returns the result if it is 0 or allowed, else raises CudaError."""
        result: int = getattr(self, function)(*arguments)
        if result and result not in allowed:
            words = c_char_p()
            self._library.cuGetErrorString(result, byref(words))
            raise CudaError(f"{function} failed with {result}: {(words.value or b'unknown error').decode()}")
        return result

    def integer(self, function: str, *arguments: Any) -> int:
        """The int that a call writes to its first argument."""
        value = c_int()
        self.check(function, byref(value), *arguments)
        return value.value


@cache
def _library(name: str) -> Library:
    return Library(name)


class LibcudaDriver:
    """One device's primary context."""

    def __init__(self, device: int = 0, *, library: str = LIBRARY) -> None:
        self._cuda = cuda = _library(library)
        num_devices = cuda.integer("cuDeviceGetCount")
        if not 0 <= device < num_devices:
            raise CudaError(
                f"device is {device}: this process sees {num_devices} CUDA devices, counted from 0"
            )
        self._device = cuda.integer("cuDeviceGet", device)
        self._context = c_void_p()
        cuda.check("cuDevicePrimaryCtxRetain", byref(self._context), self._device)
        name = ctypes.create_string_buffer(256)
        cuda.check("cuDeviceGetName", name, 256, self._device)
        is_integrated = bool(self._attribute(_INTEGRATED))
        self.facts = DeviceFacts(
            index=device,
            name=name.value.decode(),
            capability=(self._attribute(_MAJOR), self._attribute(_MINOR)),
            is_integrated=is_integrated,
            has_memory_ipc=not is_integrated,
            num_devices=num_devices,
        )

    def create_event(self, *, is_shared: bool = False) -> int:
        event = c_void_p()
        self._call("cuEventCreate", byref(event), _DISABLE_TIMING | (_INTERPROCESS if is_shared else 0))
        assert event.value is not None
        return event.value

    def record(self, event: int, stream: int) -> None:
        self._call("cuEventRecord", event, stream)

    def wait(self, stream: int, event: int) -> None:
        self._call("cuStreamWaitEvent", stream, event, 0)

    def is_done(self, event: int) -> bool:
        return self._call("cuEventQuery", event, allowed=(_NOT_READY,)) == 0

    def is_capturing(self, stream: int) -> bool:
        status = c_int()
        self._call("cuStreamIsCapturing", stream, byref(status))
        return status.value != 0

    def wait_value(self, stream: int, address: int, value: int) -> None:
        self._call("cuStreamWaitValue32_v2", stream, address, value, _WAIT_GEQ)

    def allocate(self, num_bytes: int) -> Allocation:
        address = c_uint64()
        self._call("cuMemAlloc_v2", byref(address), num_bytes)
        self._call("cuMemsetD8_v2", address, 0, num_bytes)
        self._call(
            "cuStreamSynchronize", LEGACY_STREAM
        )  # sync: other streams are not ordered after the legacy one
        return Allocation(
            address=address.value, num_bytes=num_bytes, owner=self._owner("cuMemFree_v2", address.value)
        )

    def allocate_mapped(self, num_bytes: int) -> Allocation:
        host = c_void_p()
        self._call("cuMemHostAlloc", byref(host), num_bytes, _PORTABLE | _DEVICEMAP)
        assert host.value is not None
        ctypes.memset(host.value, 0, num_bytes)
        owner = self._owner("cuMemFreeHost", host.value)
        return Allocation(
            address=self._device_pointer(host.value),
            num_bytes=num_bytes,
            owner=owner,
            host_address=host.value,
        )

    def register(self, address: int, num_bytes: int, owner: Any) -> Allocation:
        self._call("cuMemHostRegister_v2", address, num_bytes, _PORTABLE | _DEVICEMAP)
        registered = self._owner("cuMemHostUnregister", address)
        registered.memory = owner
        return Allocation(
            address=self._device_pointer(address), num_bytes=num_bytes, owner=registered, host_address=address
        )

    def enable_peer(self, peer: int) -> bool:
        if not self._cuda.integer(
            "cuDeviceCanAccessPeer", self._device, self._cuda.integer("cuDeviceGet", peer)
        ):
            return False
        context = c_void_p()
        self._call("cuDevicePrimaryCtxRetain", byref(context), self._cuda.integer("cuDeviceGet", peer))
        self._call("cuCtxEnablePeerAccess", context, 0, allowed=(_PEER_ALREADY_ENABLED,))
        return True

    def copy(self, target: int, source: int, num_bytes: int, stream: int) -> None:
        self._call("cuMemcpyAsync", target, source, num_bytes, stream)

    def synchronize(self, stream: int) -> None:
        self._call("cuStreamSynchronize", stream)

    def is_idle(self, stream: int) -> bool:
        return self._call("cuStreamQuery", stream, allowed=(_NOT_READY,)) == 0

    def is_shareable(self, address: int) -> bool:
        capable = c_int()
        self._call("cuPointerGetAttribute", byref(capable), _LEGACY_IPC_CAPABLE, address)
        return self.facts.has_memory_ipc and bool(capable.value)

    def export_memory(self, address: int) -> bytes:
        handle = IpcHandle()
        self._call("cuIpcGetMemHandle", byref(handle), address)
        return bytes(handle)

    def open_memory(self, handle: bytes) -> Allocation:
        address = c_uint64()
        self._call(
            "cuIpcOpenMemHandle_v2", byref(address), IpcHandle.from_buffer_copy(handle), _LAZY_PEER_ACCESS
        )
        return Allocation(
            address=address.value, num_bytes=0, owner=self._owner("cuIpcCloseMemHandle", address.value)
        )

    def export_event(self, event: int) -> bytes:
        handle = IpcHandle()
        self._call("cuIpcGetEventHandle", byref(handle), event)
        return bytes(handle)

    def open_event(self, handle: bytes) -> int:
        event = c_void_p()
        self._call("cuIpcOpenEventHandle", byref(event), IpcHandle.from_buffer_copy(handle))
        assert event.value is not None
        return event.value

    def current_stream(self, surface: Surface) -> int:
        return current_stream(surface, self.facts.index)

    def pool(self, allocation: Allocation, stream: int | None = None) -> PoolMemory:
        memory = DeviceMemory if allocation.host_address is None else MappedMemory
        return memory(self, allocation, self.facts.index, stream)

    def _call(self, function: str, *arguments: Any, allowed: tuple[int, ...] = ()) -> int:
        """Call in the primary context, then restore the thread's context, which is torch's current device."""
        current = c_void_p()
        self._cuda.check("cuCtxGetCurrent", byref(current))
        if current.value == self._context.value:
            return self._cuda.check(function, *arguments, allowed=allowed)
        self._cuda.check("cuCtxPushCurrent_v2", self._context)
        try:
            return self._cuda.check(function, *arguments, allowed=allowed)
        finally:
            self._cuda.check("cuCtxPopCurrent_v2", byref(current))

    def _attribute(self, attribute: int) -> int:
        return self._cuda.integer("cuDeviceGetAttribute", attribute, self._device)

    def _device_pointer(self, host_address: int) -> int:
        address = c_uint64()
        self._call("cuMemHostGetDevicePointer_v2", byref(address), host_address, 0)
        return address.value

    def _owner(self, end: str, address: int) -> _Owner:
        owner = _Owner()
        # not at exit: the driver frees everything then, and may be unloaded already
        weakref.finalize(owner, _free, self._cuda, self._context, end, address, os.getpid()).atexit = False
        return owner


class _Owner:
    """An allocation is freed with this object."""

    memory: Any = None


def _free(cuda: Any, context: Any, end: str, address: int, process: int) -> None:
    if os.getpid() == process:  # a forked child has no context
        cuda.cuCtxPushCurrent_v2(context)
        getattr(cuda, end)(address)
        cuda.cuCtxPopCurrent_v2(byref(c_void_p()))
