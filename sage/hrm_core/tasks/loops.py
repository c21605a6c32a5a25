"""Inner loops of generators and solvers: compiled where numba is, plain Python elsewhere, and the chance both
draw from.

Invariant: integers only, below 2^62 at every step, so that both ways give the same numbers, bit for bit.
"""

# mypy: no-warn-return-any
# what an array holds is known to numba, not to mypy
from __future__ import annotations

from typing import Any

import numpy as np

from sage.compiled import has_compiler, kernel

WORD = 0xFFFFFFFF


def loop(function: Any) -> Any:
    """`function`, compiled when it is first called if numba can be imported."""
    return kernel(function) if has_compiler() else function


def inner(function: Any) -> Any:
    """`function` for other loops to call, not for Python: compiled without the door that costs half of the
    time.
    """
    if not has_compiler():
        return function
    import numba

    no_door: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return numba.njit(error_model="numpy", **no_door)(function)


def chance_from(rng: np.random.Generator) -> np.ndarray:
    """(4,) int64: the state that `draw` advances."""
    return rng.integers(1, WORD, size=4, dtype=np.int64, endpoint=True)


@inner
def draw(chance: np.ndarray, bound: int) -> int:
    """An integer in 0..bound - 1. Marsaglia's xorshift128 on four words of 32 bits."""
    word, last = chance[0], chance[3]
    word ^= (word << 11) & WORD
    chance[0], chance[1], chance[2] = chance[1], chance[2], last
    chance[3] = last ^ (last >> 19) ^ word ^ (word >> 8)
    return (chance[3] * bound) >> 32


@inner
def shuffled(chance: np.ndarray, items: np.ndarray) -> None:
    """0, 1, 2.. in random order into `items` (Fisher and Yates)."""
    for index in range(len(items)):
        items[index] = index
    for last in range(len(items) - 1, 0, -1):
        other = draw(chance, last + 1)
        items[last], items[other] = items[other], items[last]
