"""Loops that a session calls in a tick are compiled before it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest

from sage.hrm_core.tasks import loops
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.first_calls import compile_loops
from sage.hrm_core.tasks.split import without_ids

CASES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "table": ({"objects": (2, 3), "places": 4}, ("table.kernel",)),
    "diagnosis": (
        {"causes": (3, 4), "symptoms": (3, 4), "nodes": (6, 8), "faults": (1, 2), "reach": (1, 3)},
        ("diagnosis.kernel",),
    ),
    "maze": ({"size": 5, "difficulty": "easy"}, ("maze.steps",)),
}


@pytest.mark.parametrize("name", CASES)
def test_every_loop_of_a_task_has_been_called_before_the_first_tick(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is compiled when it is first called; here by no compiler, which is quick."""
    options, modules = CASES[name]
    monkeypatch.setattr(loops, "has_compiler", lambda: False)
    fresh: dict[str, loops.Loop] = {}
    for path in modules:
        module = import_module(f"sage.hrm_core.tasks.{path}")
        for key, value in list(vars(module).items()):
            if isinstance(value, loops.Loop) and value.__module__ == module.__name__:
                fresh[key] = loops.Loop(value.plain)
                monkeypatch.setattr(module, key, fresh[key])
    task: Any = make_task(name, **options)
    compile_loops(task, task.held_out(2))
    assert fresh
    assert [key for key, each in fresh.items() if each._fastest is None] == []


def test_what_a_plug_in_raises_is_left_to_the_call_that_needs_the_result() -> None:
    class Broken:
        def __init__(self) -> None:
            self.called: list[str] = []

        def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
            self.called.append("verify")
            raise RuntimeError("no rules")

        def baseline(self, inputs: np.ndarray) -> None:
            self.called.append("baseline")

    task, cells = Broken(), np.ones((1, 4), np.int32)
    compile_loops(task, without_ids(cells, cells))
    assert task.called == ["verify", "baseline"]
