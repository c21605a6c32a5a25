"""Inner loops of generators and solvers, and the random numbers they use: compiled with numba where it is
installed, plain Python elsewhere and for the first few rows.

Invariant: integers only, below 2^62 at every step, so that both ways give the same numbers, bit for bit.
numba is imported at the first compiled call, not before.
"""

# mypy: no-warn-return-any
# what an array holds is known to numba, not to mypy
from __future__ import annotations

from collections.abc import Callable
from functools import cache, update_wrapper
from types import FunctionType
from typing import Any

import numpy as np

from sage.compiled import has_compiler, kernel

WORD = 0xFFFFFFFF
_INNER = "_is_inner_loop"


class Loop:
    """A function that is compiled when it is first called, if numba can be imported. `plain`: the same
    function as Python."""

    def __init__(self, function: Callable[..., Any]) -> None:
        update_wrapper(self, function)
        self.plain = function
        self._fastest: Callable[..., Any] | None = None

    def __call__(self, *args: Any) -> Any:
        if self._fastest is None:
            self._fastest = (
                kernel(_with_compiled_callees(self.plain), releases_gil=True)
                if has_compiler()
                else self.plain
            )
        return self._fastest(*args)


def loop(function: Any) -> Loop:
    """Decorator: `function` as a Loop."""
    return Loop(function)


def inner(function: Any) -> Any:
    """Decorator of a function that loops call: Python itself, and compiled within a compiled loop."""
    setattr(function, _INNER, True)
    return function


@cache
def _compiled_inner(function: Any) -> Any:
    """Without the wrapper for calls from Python, which takes half of the compilation time."""
    import numba

    no_wrapper: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return numba.njit(error_model="numpy", **no_wrapper)(_with_compiled_callees(function))


def _with_compiled_callees(function: Any) -> Any:
    """A copy of `function` whose globals have the compiled form of each inner function that it calls."""
    scope = dict(function.__globals__)
    for name in function.__code__.co_names:
        if getattr(scope.get(name), _INNER, False):
            scope[name] = _compiled_inner(scope[name])
    copy = FunctionType(function.__code__, scope, function.__name__, function.__defaults__)
    return update_wrapper(copy, function)


def chance_from(rng: np.random.Generator) -> np.ndarray:
    """(4,) int64: the state of the generator that `draw` advances."""
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
