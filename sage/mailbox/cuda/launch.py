"""The ring's kernels on a real device, compiled by CuPy (RawModule, NVRTC) on first use; CuPy caches them."""

from __future__ import annotations

from typing import Any

import numpy as np

from sage.mailbox.cuda.driver import CudaError
from sage.mailbox.cuda.kernels import KERNELS, SYSTEM_SCOPE, source


class CupyLauncher:
    """is_mapped: for a ring in mapped host memory, which the processor can access too."""

    def __init__(self, device: int = 0, *, is_mapped: bool = False) -> None:
        try:
            import cupy
        except ImportError as error:
            raise CudaError(
                "CuPy, which compiles the kernels, is not installed: install cupy-cuda13x"
                " (cupy-cuda12x for CUDA 12)"
            ) from error
        self._cuda = cupy.cuda
        options = ("--std=c++17", *((SYSTEM_SCOPE,) if is_mapped else ()))
        self._device = cupy.cuda.Device(device)
        with self._device:
            module = cupy.RawModule(code=source(), options=options)
            self._kernels: dict[str, Any] = {name: module.get_function(name) for name in KERNELS}
        self._streams: dict[int, Any] = {}

    def launch(
        self, kernel: str, num_blocks: int, num_threads: int, stream: int, arguments: tuple[np.generic, ...]
    ) -> None:
        current = self._streams.get(stream)
        if current is None:
            current = self._streams[stream] = self._borrowed(stream)
        with self._device, current:
            self._kernels[kernel]((num_blocks,), (num_threads,), arguments)

    def _borrowed(self, handle: int) -> Any:
        """CuPy's object for an existing stream: by protocol in CuPy 14, by number in earlier versions."""
        from_external = getattr(self._cuda.Stream, "from_external", None)
        return self._cuda.ExternalStream(handle) if from_external is None else from_external(_Handle(handle))


class _Handle:
    """A stream that implements the CUDA stream protocol."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self._handle
