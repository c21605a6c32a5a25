"""Wrong solutions for tasks of different forms."""

from typing import Any

import numpy as np
import pytest

from sage.hrm_core.tasks.catalogue import make_task
from sage.sensors.environments.puzzles.teacher import wrong_solution

TASKS: dict[str, dict[str, Any]] = {"sudoku": {"size": 6}, "maze": {"size": 9}, "sat": {}, "hanoi": {}}


@pytest.mark.parametrize("name", TASKS)
def test_a_wrong_solution_is_refused_by_the_rules(name: str) -> None:
    task, rng = make_task(name, **TASKS[name]), np.random.default_rng(0)
    examples = task.sample(8, rng)
    solutions = examples.answers()
    wrong = np.array([wrong_solution(task, *pair, rng) for pair in zip(examples.inputs, solutions)])
    assert task.verify(examples.inputs, solutions).all()
    assert not task.verify(examples.inputs, wrong).any()
    assert wrong.shape == solutions.shape
