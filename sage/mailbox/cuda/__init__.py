"""Mailboxes on CUDA: tensors stay on the device, and streams wait for each other without blocking the host.

The package's public names load on first use. Invariant: importing it needs no GPU, and loads neither torch
nor CuPy nor numba.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sage.mailbox.cuda.backend import CudaBackend, open_driver, why_no_cuda
    from sage.mailbox.cuda.driver import Allocation, CudaError, DeviceFacts, Driver
    from sage.mailbox.cuda.fake import FakeDriver

_MODULES = {
    "Allocation": "driver",
    "CudaBackend": "backend",
    "CudaError": "driver",
    "DeviceFacts": "driver",
    "Driver": "driver",
    "FakeDriver": "fake",
    "open_driver": "backend",
    "why_no_cuda": "backend",
}

__all__ = [
    "Allocation",
    "CudaBackend",
    "CudaError",
    "DeviceFacts",
    "Driver",
    "FakeDriver",
    "open_driver",
    "why_no_cuda",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
