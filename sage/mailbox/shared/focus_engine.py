"""The rules of a shared pool as this process runs them: compiled where numba is, plain Python elsewhere. One source.

Invariant: nothing is compiled while a pool's lock is held; the first use of the engine compiles everything and tries it.
"""

from __future__ import annotations

import types
from functools import cache
from typing import Any

import numpy as np
import structlog

from sage.compiled import has_compiler, kernel
from sage.mailbox.shared import focus_ending, focus_layout, focus_queue, focus_rules

log = structlog.get_logger("sage")

ENGINES = ("numba", "plain")
#: Called from Python, with the lock held; what they call is compiled into them.
_OUTER = (
    focus_rules.lend,
    focus_rules.refuse,
    focus_rules.publish,
    focus_rules.discard,
    focus_rules.abandon,
    focus_rules.take,
    focus_rules.release,
    focus_ending.unview,
    focus_ending.reclaim,
    focus_ending.take_back,
    focus_ending.stop_listening,
    focus_ending.close_all,
)


def rules(engine: str | None) -> tuple[str, Any]:
    """(engine, its functions by name). None takes the best there is. ValueError for another name, or without numba."""
    if engine is None:
        engine = "numba" if has_compiler() else "plain"
    if engine not in ENGINES or (engine == "numba" and not has_compiler()):
        raise ValueError(f"engine is {engine!r}: give plain, or numba where the extra fast is installed")
    return engine, _compiled() if engine == "numba" else _plain()


@cache
def _plain() -> Any:
    return types.SimpleNamespace(**{function.__name__: function for function in _OUTER})


@cache
def _compiled() -> Any:
    from numba.extending import register_jitable

    for module in (focus_queue, focus_ending, focus_rules):
        for function in vars(module).values():
            if isinstance(function, types.FunctionType) and function.__module__ == module.__name__ and function not in _OUTER:
                register_jitable(function)
    compiled = types.SimpleNamespace(**{function.__name__: kernel(function) for function in _OUTER})
    _rehearse(compiled)
    return compiled


def _rehearse(found: Any) -> None:
    """Each function once, on a pool of two slots without memory: they are compiled now, or read from disk."""
    words = np.zeros(focus_layout.CONTROL_WORDS, np.int64)
    reals = words.view(np.float64)
    words[focus_layout.SLOTS] = words[focus_layout.QUOTA] = 2
    deadline_ns = focus_layout.NO_DEADLINE
    first = found.lend(words, reals, 0, 1, 0, 7, 1.0, 0, 0, 0)
    assert found.publish(words, reals, first, 1, 0, 1, 0, 0, 1.0, 1.0, deadline_ns, 0, -1) == first
    assert found.take(words, reals, 1, 2, 0, 0, 0) == first
    assert found.release(words, first, 1, 2, 0, 0, 0, 0) == first
    assert found.unview(words, first, 1) == first
    second = found.lend(words, reals, 0, 1, 0, 7, 1.0, 0, 1, 0)
    assert found.discard(words, second, 2, 0, 0) == second
    third = found.lend(words, reals, 0, 1, 0, 7, 1.0, 0, 0, 0)
    assert found.abandon(words, third, 3, 0, 0) == third
    fourth = found.lend(words, reals, 0, 1, 0, 7, 1.0, 0, 0, 0)
    assert found.reclaim(words, fourth, words[fourth], 0) == 1
    found.refuse(words, 7, focus_rules.NO_SLOT)
    assert found.take_back(words, 0, 1) == 0
    assert found.stop_listening(words, 1) == found.close_all(words) == 0
