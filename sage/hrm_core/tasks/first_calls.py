"""The first call of what a session asks of a task: it compiles the task's loops, which can take seconds.

Invariant: nothing that a session computes later depends on whether this was called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sage.errors import pass_on
from sage.hrm_core.tasks.contract import Examples


def compile_loops(task: Any, examples: Examples) -> None:
    """Call each method that judges, moves, searches or answers a puzzle, so that no later call compiles.

    examples: at least one, with labels; the first is used. What a method raises is left to the later call
    that needs its result.
    """
    one = examples.take(slice(1))
    inputs, answers = one.inputs, one.answers()
    calls: dict[str, Callable[[Any], Any]] = {
        "verify": lambda method: method(inputs, answers),
        "baseline": lambda method: method(inputs),
        "orbit_keys": lambda method: method(inputs),
        "transform": lambda method: method(one, np.random.default_rng(0)),
        "may_extend": lambda method: method(inputs, inputs),
        "next_choices": lambda method: method(inputs[0], inputs[0]),
        "as_inputs": lambda method: method(inputs, inputs),
        "complete": lambda method: method(inputs, inputs, answers),
    }
    for name, call in calls.items():
        method = getattr(task, name, None)
        if method is None:
            continue
        try:
            call(method)
        except BaseException as error:  # around a plug-in
            pass_on(error)
