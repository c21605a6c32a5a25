"""The dtype of inference on a device: bf16 where the device has instructions for its products.

Invariant: the choice depends on the device alone; nothing is timed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

#: Flags of /proc/cpuinfo: products of bf16 in AVX512 or in AMX tiles. Without them bf16 is slower than fp32.
_BF16_FLAGS = {"avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DtypeChoice:
    """dtype: "float32" or "bfloat16"."""

    dtype: str
    reason: str


def choose_dtype(device: str) -> DtypeChoice:
    """For a device such as "cpu" or "cuda:0"."""
    if device.startswith("cuda"):
        has_bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
        reason = f"the GPU multiplies in bf16: {'yes' if has_bf16 else 'no'}"
        return DtypeChoice(dtype="bfloat16" if has_bf16 else "float32", reason=reason)
    if device.startswith("cpu"):
        return choose_cpu_dtype(_cpu_flags(), torch.backends.cpu.get_cpu_capability())
    return DtypeChoice(dtype="float32", reason=f"no rule for device {device}")


def choose_cpu_dtype(flags: Collection[str], capability: str) -> DtypeChoice:
    """flags: of the processor.  capability: torch's, "AVX512" at most what ATEN_CPU_CAPABILITY permits."""
    found = [name for flag, name in _BF16_FLAGS.items() if flag in flags]
    if not found:
        return DtypeChoice(dtype="float32", reason="the processor has neither AVX512-BF16 nor AMX")
    if capability != "AVX512":
        return DtypeChoice(dtype="float32", reason=f"torch uses {capability}, and {found[-1]} needs AVX512")
    return DtypeChoice(dtype="bfloat16", reason=f"the processor has {found[-1]}")


@cache
def has_amx() -> bool:
    """Whether the processor multiplies bf16 in AMX tiles and torch may use them."""
    return "amx_bf16" in _cpu_flags() and torch.backends.cpu.get_cpu_capability() == "AVX512"


def processor_name() -> str:
    """Of the first processor in /proc/cpuinfo; "" without that file or that line."""
    return _cpu_line("model name")


def _cpu_flags() -> set[str]:
    return set(_cpu_line("flags").split())


def _cpu_line(name: str) -> str:
    """Of the first processor in /proc/cpuinfo; "" without that file."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
