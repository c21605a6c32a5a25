"""Mailboxes on CUDA: tensors stay on the device, streams wait for each other, the host for nobody.

Invariant: importing this package needs no GPU, and loads neither torch nor CuPy nor numba.
"""

from sage.mailbox.cuda.backend import CudaBackend, open_driver, why_no_cuda
from sage.mailbox.cuda.driver import Allocation, CudaError, DeviceFacts, Driver
from sage.mailbox.cuda.fake import FakeDriver

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
