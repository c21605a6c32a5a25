"""bf16 is chosen only where the device has instructions for its products."""

from __future__ import annotations

import pytest

from sage.hrm_core.model.precision import choose_cpu_dtype, choose_dtype


@pytest.mark.parametrize(
    ("flags", "capability", "dtype", "reason"),
    [
        ({"avx2", "avx512f", "avx512_bf16"}, "AVX512", "bfloat16", "AVX512-BF16"),
        ({"avx2", "avx512f", "avx512_bf16", "amx_bf16"}, "AVX512", "bfloat16", "AMX"),
        ({"avx2", "avx512f"}, "AVX512", "float32", "neither AVX512-BF16 nor AMX"),
        ({"avx2"}, "AVX2", "float32", "neither"),
        (set(), "DEFAULT", "float32", "neither"),
        ({"avx512_bf16"}, "AVX2", "float32", "torch uses AVX2"),
    ],
)
def test_on_a_cpu_the_instructions_decide(flags: set[str], capability: str, dtype: str, reason: str) -> None:
    choice = choose_cpu_dtype(flags, capability)
    assert choice.dtype == dtype
    assert reason in choice.reason


def test_each_device_has_a_choice() -> None:
    assert choose_dtype("cpu").dtype in ("float32", "bfloat16")
    assert choose_dtype("mps").dtype == "float32"
