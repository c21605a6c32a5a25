"""The ring's CUDA C source and its compilation: by CuPy to run it, by NVRTC to check it.

Invariant: one source; a ring in mapped memory differs from one in device memory by one definition.
"""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from typing import Any

from sage.mailbox.cuda.driver import CudaError

KERNELS = ("ring_push", "ring_push_each", "ring_pop", "ring_subscribe")
SYSTEM_SCOPE = "-DRING_SYSTEM_SCOPE"


@cache
def source() -> str:
    """`orders.cu` and `ring.cu`: the kernels, and `ring_push_record` for a user's kernel, whose source comes
    after this.
    """
    return "".join(Path(__file__).with_name(name).read_text() for name in ("orders.cu", "ring.cu"))


def compile_source(text: str, *, arch: str, options: tuple[str, ...] = ()) -> bytes:
    """PTX for "compute_90", machine code for "sm_90". Needs cuda-bindings and nvidia-cuda-nvrtc, and no GPU.

    CudaError with the compiler's log if it does not compile.
    """
    nvrtc = _nvrtc()
    result, program = nvrtc.nvrtcCreateProgram(text.encode(), b"ring.cu", 0, [], [])
    _check(nvrtc, result)
    arguments = [
        f"--gpu-architecture={arch}".encode(),
        b"--std=c++17",
        *(option.encode() for option in options),
    ]
    (result,) = nvrtc.nvrtcCompileProgram(program, len(arguments), arguments)
    if result != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        _, size = nvrtc.nvrtcGetProgramLogSize(program)
        log = b" " * size  # NVRTC writes into it
        nvrtc.nvrtcGetProgramLog(program, log)
        raise CudaError(f"ring.cu does not compile for {arch}:\n{log.decode(errors='replace')}")
    is_ptx = arch.startswith("compute")
    result, size = (nvrtc.nvrtcGetPTXSize if is_ptx else nvrtc.nvrtcGetCUBINSize)(program)
    _check(nvrtc, result)
    code: bytes = b" " * size
    (result,) = (nvrtc.nvrtcGetPTX if is_ptx else nvrtc.nvrtcGetCUBIN)(program, code)
    _check(nvrtc, result)
    return code


def _nvrtc() -> Any:
    try:
        return importlib.import_module("cuda.bindings.nvrtc")
    except ImportError as error:
        raise CudaError("NVRTC is not installed: pip install cuda-bindings nvidia-cuda-nvrtc") from error


def _check(nvrtc: Any, result: Any) -> None:
    if result != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise CudaError(f"NVRTC failed: {result}")
