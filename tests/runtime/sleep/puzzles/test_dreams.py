from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from sage.hrm_core.model_family import family_of
from sage.hrm_core.tasks.contract import Task
from sage.hrm_core.tasks.orbits import are_examined, orbit_keys
from sage.runtime.sleep.puzzles.dreams import generated, opened, rolled_out
from sage.runtime.sleep.puzzles.pool import Pool
from sage.runtime.sleep.puzzles.table import Provenance


def _are_sound(pool: Pool, task: Task, provenance: Provenance) -> None:
    assert task.verify(pool.inputs, pool.labels).all()
    assert not are_examined(orbit_keys(task, pool.inputs)).any()
    assert (pool.weights == 0.5).all()
    assert (pool.provenance == provenance).all()
    assert pool.dreamed_share == 1.0


def test_generated_dreams_are_solved_and_never_examined(tasks: list[Task]) -> None:
    pool = generated(tasks[0], 100, 0.5, np.random.default_rng(0))
    assert 70 < len(pool) < 100
    _are_sound(pool, tasks[0], Provenance.GENERATED)


def test_roll_outs_of_a_model_that_solves_are_kept(
    tasks: list[Task], shipped_weights: dict[str, Tensor]
) -> None:
    family = family_of("sudoku", [tasks[0].spec])
    family.load_weights(shipped_weights)
    pool = rolled_out(family[0], tasks[0], tasks[0].sample(60, np.random.default_rng(1)).inputs, 0.5)
    assert len(pool) > 40
    _are_sound(pool, tasks[0], Provenance.ROLLED_OUT)


def test_roll_outs_of_a_model_that_solves_nothing_are_thrown_away(tasks: list[Task]) -> None:
    family = family_of("sudoku", [tasks[0].spec])
    pool = rolled_out(family[0], tasks[0], tasks[0].sample(60, np.random.default_rng(1)).inputs, 0.5)
    assert len(pool) == 0


def test_roll_outs_of_puzzles_with_several_solutions_are_thrown_away(
    tasks: list[Task], shipped_weights: dict[str, Tensor]
) -> None:
    task: Any = tasks[0]
    family = family_of("sudoku", [task.spec])
    family.load_weights(shipped_weights)
    opener = opened(task, task.sample(80, np.random.default_rng(2)), np.random.default_rng(2))
    pool = rolled_out(family[0], task, opener, 0.5)
    assert all(task.count_solutions(row) == 1 for row in pool.inputs)
    assert len(pool) < 80


def test_no_dream_is_a_puzzle_that_the_night_asks(
    tasks: list[Task], shipped_weights: dict[str, Tensor]
) -> None:
    """A training puzzle with one given cell less can be a held-out one, in some symmetric form."""
    task = tasks[0]
    family = family_of("sudoku", [task.spec])
    family.load_weights(shipped_weights)
    asked = orbit_keys(task, task.held_out(200).inputs)
    examples = task.sample(400, np.random.default_rng(4))
    inputs = opened(task, examples, np.random.default_rng(4))
    assert np.isin(orbit_keys(task, inputs), asked).any()
    pool = rolled_out(family[0], task, inputs, 0.5, apart=asked)
    assert len(pool) > 40
    assert not np.isin(orbit_keys(task, pool.inputs), asked).any()
    every = orbit_keys(task, task.sample(20, np.random.default_rng(0)).inputs)
    assert len(generated(task, 20, 0.5, np.random.default_rng(0), apart=every)) == 0


def test_no_dream_is_a_puzzle_that_another_night_may_ask(
    tasks: list[Task], shipped_weights: dict[str, Tensor]
) -> None:
    task: Any = tasks[0]
    family = family_of("sudoku", [task.spec])
    family.load_weights(shipped_weights)
    held_out = task.held_out(60)
    assert task.are_held_out(held_out.inputs, held_out.labels).all()
    assert len(rolled_out(family[0], task, held_out.inputs, 0.5)) == 0
    for size in (0, 1):
        drawn = tasks[size].sample(60, np.random.default_rng(5))
        assert not tasks[size].are_held_out(drawn.inputs, drawn.labels).any()


def test_an_opened_puzzle_has_one_given_less(tasks: list[Task]) -> None:
    examples = tasks[0].sample(20, np.random.default_rng(3))
    inputs = opened(tasks[0], examples, np.random.default_rng(3))
    assert ((inputs != examples.inputs).sum(axis=1) == 1).all()
    assert ((inputs == 1).sum(axis=1) == (examples.inputs == 1).sum(axis=1) + 1).all()
