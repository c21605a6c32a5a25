"""Which held-out puzzles judge a night: others each night, the same ones for equal nights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.contract import Examples, Task
from sage.hrm_core.tasks.split import row_keys, without_ids
from sage.runtime.sleep.puzzles.held_out_draw import HeldOutDraw
from sage.runtime.sleep.puzzles.trainer import PuzzleTrainer
from sage.runtime.solving.examine import NUM_SUMMARISED
from tests.runtime.sleep.puzzles.conftest import Feed, MakeTrainer


def _keys(examples: Examples) -> list[int]:
    keys: list[int] = row_keys(examples.inputs).tolist()
    return keys


def _drawn(task: Task, num: int, *seed: int, first: int = 8, most: int = 100) -> list[int]:
    return _keys(HeldOutDraw(seed=seed, first=first, most=most).of(task, num))


@pytest.mark.parametrize("level", [0, 1])
def test_draws_of_a_generator_are_new_puzzles_of_the_held_out_side(tasks: list[Task], level: int) -> None:
    task: Any = tasks[level]
    first = _drawn(task, 100, 3, 500)
    assert len(set(first)) == 100
    assert _drawn(task, 10, 3, 500) == first[:10]
    again: Any = make_task("sudoku", size=(4, 6)[level])
    assert _drawn(again, 100, 3, 500) == first, "another process"
    assert not set(first) & set(_keys(task.held_out(NUM_SUMMARISED)))
    found = HeldOutDraw(seed=(3, 500), first=8, most=100).of(task, 100)
    assert task.verify(found.inputs, found.labels).all()
    assert task.are_held_out(found.inputs, found.labels).all()
    for seed in ((4, 500), (3, 501)):
        assert len(set(_drawn(task, 100, *seed)) & set(first)) < 50


class Fixed:
    """A task with so many held-out puzzles."""

    def __init__(self, num: int) -> None:
        self._rows = np.arange(3 * num, dtype=np.int32).reshape(num, 3)

    def held_out(self, num: int) -> Examples:
        return without_ids(self._rows[:num], self._rows[:num])


def test_draws_of_a_fixed_set_are_parts_of_what_the_summary_does_not_count() -> None:
    task: Any = Fixed(NUM_SUMMARISED + 400)
    summarised = set(_keys(task.held_out(NUM_SUMMARISED)))
    draws = [_drawn(task, 64, night, 9) for night in range(40)]
    assert all(len(set(draw)) == 64 for draw in draws)
    assert not summarised & {key for draw in draws for key in draw}
    assert len({key for draw in draws for key in draw}) > 390
    assert _drawn(task, 8, 5, 9) == draws[5][:8]


@pytest.mark.parametrize("num", [5, 30, NUM_SUMMARISED + 4])
def test_of_a_small_fixed_set_the_last_ones_are_drawn(num: int) -> None:
    task: Any = Fixed(num)
    drawn = _drawn(task, 8, 1, 1)
    assert len(drawn) == min(num, 8)
    assert set(drawn) <= set(_keys(task.held_out(num))[-8:])


def test_a_task_whose_evaluation_set_was_given_draws_no_others() -> None:
    task: Any = make_task("sat", variables=4, clauses=8)
    assert len(_drawn(task, 8, 1, 1)) == 8
    task._given = (object(),)
    assert len(task.draw_held_out(8, (1, 1), task.sample(4, np.random.default_rng(0)))) == 0


def _asked(trainer: PuzzleTrainer) -> list[int]:
    trainer.begin_night(1000)
    night: Any = trainer._night
    (level,) = night._examined
    trainer.abort_night()
    return _keys(level.examples)[-level.num_asked :]


def test_each_night_is_judged_by_other_puzzles(make_trainer: MakeTrainer, feed: Feed) -> None:
    """The same ones judged every night of a life."""
    trainer, same = make_trainer(60), make_trainer(60)
    nights = [_asked(trainer), _asked(trainer)]
    assert len(nights[0]) == 64
    assert nights[0] != nights[1]
    assert _asked(same) == nights[0]
    same.num_nights = 1  # as after a restart
    assert _asked(same) == nights[1]
    same.num_nights = 0  # as of a folder whose nights are run by `sage sleep`
    same.memory.note(feed(1, first=60)[0])
    assert _asked(same) != nights[0]
