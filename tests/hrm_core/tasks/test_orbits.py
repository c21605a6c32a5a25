from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.orbits import EXAMINED_EVERY, are_examined, orbit_keys


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sudoku", {"size": 4}),
        ("sudoku", {"size": 6}),
        ("sudoku", {"size": 9}),
        ("maze", {"size": 10}),
        ("table", {}),
    ],
)
def test_a_symmetry_leaves_the_key_of_a_puzzle_unchanged(name: str, options: dict[str, Any]) -> None:
    task: Any = make_task(name, **options)
    examples = task.sample(40, np.random.default_rng(0))
    keys = orbit_keys(task, examples.inputs)
    for seed in range(4):
        moved = task.transform(examples, np.random.default_rng(seed))
        assert (moved.inputs != examples.inputs).any(1).mean() > 0.6
        assert (orbit_keys(task, moved.inputs) == keys).all()


@pytest.mark.parametrize("size", [6, 9])
def test_puzzles_that_differ_have_different_keys(size: int) -> None:
    task = make_task("sudoku", size=size)
    inputs = task.sample(300, np.random.default_rng(1)).inputs
    assert len(np.unique(orbit_keys(task, inputs))) == len(np.unique(inputs, axis=0)) == 300


def test_one_digit_moved_changes_the_key() -> None:
    task = make_task("sudoku", size=9)
    inputs = task.sample(1, np.random.default_rng(2)).inputs
    given = np.flatnonzero(inputs[0] > 1)
    others = np.repeat(inputs, len(given), axis=0)
    others[np.arange(len(given)), given] = 1
    assert not (orbit_keys(task, others) == orbit_keys(task, inputs)).any()


def test_a_tenth_is_examined_and_the_split_is_not_the_one_of_the_task() -> None:
    task = make_task("sudoku", size=9)
    rng = np.random.default_rng(3)
    for inputs in (task.sample(800, rng).inputs, task.held_out(800).inputs):
        share = are_examined(orbit_keys(task, inputs)).mean()
        assert abs(share - 1 / EXAMINED_EVERY) < 0.035


def test_a_task_without_symmetries_has_the_key_of_the_row() -> None:
    task = make_task("brackets")
    rows = task.sample(64, np.random.default_rng(0)).inputs
    keys = orbit_keys(task, rows)
    assert len(np.unique(keys)) == len(np.unique(rows, axis=0))
