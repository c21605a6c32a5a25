"""Mailboxes on CUDA: tensors stay on the device, and streams wait for each other without blocking the host.

The package's public names load on first use. Invariant: importing it needs no GPU, and loads neither torch
nor CuPy nor numba.
"""

from typing import TYPE_CHECKING

from sage.lazy import lazy_face

if TYPE_CHECKING:
    from sage.mailbox.cuda.backend import CudaBackend, open_driver, why_no_cuda
    from sage.mailbox.cuda.driver import Allocation, CudaError, DeviceFacts, Driver
    from sage.mailbox.cuda.fake import FakeDriver
    from sage.mailbox.cuda.unified import UnifiedBackend
    from sage.mailbox.cuda.unified_probe import Probe, probe_device, why_not_shared

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "Allocation": "sage.mailbox.cuda.driver",
        "CudaBackend": "sage.mailbox.cuda.backend",
        "CudaError": "sage.mailbox.cuda.driver",
        "DeviceFacts": "sage.mailbox.cuda.driver",
        "Driver": "sage.mailbox.cuda.driver",
        "FakeDriver": "sage.mailbox.cuda.fake",
        "Probe": "sage.mailbox.cuda.unified_probe",
        "UnifiedBackend": "sage.mailbox.cuda.unified",
        "open_driver": "sage.mailbox.cuda.backend",
        "probe_device": "sage.mailbox.cuda.unified_probe",
        "why_no_cuda": "sage.mailbox.cuda.backend",
        "why_not_shared": "sage.mailbox.cuda.unified_probe",
    },
)

__all__ = [
    "Allocation",
    "CudaBackend",
    "CudaError",
    "DeviceFacts",
    "Driver",
    "FakeDriver",
    "Probe",
    "UnifiedBackend",
    "open_driver",
    "probe_device",
    "why_no_cuda",
    "why_not_shared",
]
