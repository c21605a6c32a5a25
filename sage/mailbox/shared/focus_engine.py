"""The rules of a shared pool as this process runs them: the frequent ones compiled where numba is, the rest as they stand.

Invariant: one source, and both ways on one pool at once are right, because both take its lock; nothing is compiled while
the lock is held.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from sage.compiled import kernel
from sage.mailbox.shared import focus_ending, focus_layout, focus_queue, focus_rules
from sage.mailbox.shared.engine import EngineName
from sage.mailbox.shared.segment import Segment

Rule = Callable[..., int]
#: Called for each message.
_FREQUENT = (focus_rules.lend, focus_rules.publish, focus_rules.take, focus_rules.release)


class FocusEngine:
    """`lend`, `publish`, `take` and `release`, to be called with `table` (int64) and `reals` (float64, the same memory)."""

    def __init__(self, name: EngineName, segment: Segment) -> None:
        if name == "numba":
            self.lend, self.publish, self.take, self.release = _compiled()
            self.table: Any = np.frombuffer(segment.memory, np.int64, focus_layout.CONTROL_WORDS)
            self.reals: Any = self.table.view(np.float64)
        else:
            self.lend, self.publish, self.take, self.release = _FREQUENT
            self.table, self.reals = segment.words, memoryview(segment.memory).cast("d")


@cache
def _compiled() -> tuple[Rule, ...]:
    """Translated now, not at the first call, which comes under a lock; then read from disk."""
    import numba
    from numba.extending import register_jitable

    kinds = {"words": numba.int64[::1], "reals": numba.float64[::1]}
    for module in (focus_queue, focus_ending, focus_rules):
        for function in vars(module).values():
            is_rule = isinstance(function, types.FunctionType) and function.__module__ == module.__name__
            if is_rule and function not in _FREQUENT:
                register_jitable(function)
    compiled = []
    for rule in _FREQUENT:
        arguments = {name: kind for name, kind in rule.__annotations__.items() if name != "return"}
        translated = kernel(rule)
        translated.compile(
            tuple(kinds.get(name, numba.float64 if kind == "float" else numba.int64) for name, kind in arguments.items())
        )
        compiled.append(translated)
    return tuple(compiled)
