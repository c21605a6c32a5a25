"""Wrong solutions for tasks of different forms."""

from typing import Any

import numpy as np
import pytest

from sage.hrm_core.tasks.catalogue import make_task
from sage.sensors.environments.puzzles.teacher import wrong_solution

TASKS: dict[str, dict[str, Any]] = {
    "sudoku": {"size": 6},
    "maze": {"size": 9},
    "sat": {},
    "sat of few clauses": {"clauses": 2},
    "sat of one clause": {"variables": 4, "clauses": 1, "width": 4},
    "colouring": {},
    "colouring of few edges": {"colours": 8, "density": [0.0, 0.1]},
    "hanoi": {},
    "brackets": {},
    "patterns": {},
    "table": {},
    "diagnosis": {},
    "arc_generated": {"variants": 1},
}


@pytest.mark.parametrize("name", TASKS)
def test_a_wrong_solution_is_refused_by_the_rules(name: str) -> None:
    task, rng = make_task(name.split()[0], **TASKS[name]), np.random.default_rng(0)
    examples = task.sample(32, rng)
    solutions = examples.answers()
    wrong = np.array([wrong_solution(task, *pair, rng) for pair in zip(examples.inputs, solutions)])
    assert task.verify(examples.inputs, solutions).all()
    assert not task.verify(examples.inputs, wrong).any()
    assert wrong.shape == solutions.shape


def test_of_a_formula_without_clauses_every_answer_is_right() -> None:
    task = make_task("sat", variables=4, clauses=1)
    cells = task.encode("p cnf 4 0\n")
    solution = np.where(cells == 1, 2, cells)
    np.testing.assert_array_equal(wrong_solution(task, cells, solution, np.random.default_rng(0)), solution)
