"""A kernel bound to one signature is a plain function with the same result."""

from __future__ import annotations

import pytest

from sage.compiled import bound, has_compiler, kernel


def _scaled(number: int, factor: float) -> float:
    return number * factor


@pytest.mark.skipif(not has_compiler(), reason="numba is not installed")
def test_a_bound_kernel_converts_its_arguments_and_refuses_what_does_not_fit() -> None:
    import numba

    scaled = bound(kernel(_scaled), (numba.int64, numba.float64))
    assert scaled(3, 2) == pytest.approx(_scaled(3, 2.0))
    with pytest.raises(OverflowError):
        scaled(1 << 64, 1.0)
