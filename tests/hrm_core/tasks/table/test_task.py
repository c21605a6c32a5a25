"""Scenes of a table: labels are shortest plans, every plan that keeps the rules is right and no other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage.errors import InputError
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.contract import IGNORED
from sage.hrm_core.tasks.table.breadth_first import breadth_first_plan, legal_moves
from sage.hrm_core.tasks.table.config import TableConfig
from sage.hrm_core.tasks.table.kernel import HOME
from sage.hrm_core.tasks.table.scenes import Scenes, draw_scenes
from sage.hrm_core.tasks.table.task import ROUND, TableTask

CONFIGS = [
    TableConfig(),
    TableConfig(buffers=2, blocked=0.8, begun=0.6),
    TableConfig(objects=(2, 4), places=5, aside=1),
    TableConfig(objects=(6, 8), places=10, blocked=0.1),
]


def plan_of(scenes: Scenes, row: int, places: int) -> list[tuple[int, int]] | None:
    return breadth_first_plan(scenes.goals[row], scenes.blockers[row], places)


def as_answer(task: TableTask, puzzle: np.ndarray, moves: list[tuple[int, int]]) -> np.ndarray:
    """(1, L): the moves, numbered from 1."""
    numbers = np.zeros((2, 1, task.config.rows), np.int64)
    for number, (row, to) in enumerate(moves, start=1):
        numbers[int(to == HOME), 0, row] = number
    return task.with_plan(puzzle[None], numbers[0], numbers[1])


@pytest.mark.parametrize("config", CONFIGS, ids=range(len(CONFIGS)))
def test_labels_are_as_short_as_breadth_first_search(config: TableConfig) -> None:
    task = TableTask(config)
    scenes = draw_scenes(config, 25, np.random.default_rng(3))
    found = task.num_moves(task.cells_of(scenes))
    plans = [plan_of(scenes, row, config.places) for row in range(len(scenes))]
    assert found.tolist() == [-1 if plan is None else len(plan) for plan in plans]
    examples = task.solved(scenes)
    scores = task.scores(examples, examples.answers())
    assert (scores["optimal"] == 1).all()
    aside, home = task.rounds_of(examples.inputs, examples.answers())
    assert ((aside > 0).sum(axis=1) >= config.aside).all()
    assert ((aside == 0) | (home > aside)).all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), wander=st.integers(0, 3))
def test_any_way_to_the_goal_is_right_and_a_broken_one_is_not(seed: int, wander: int) -> None:
    task, rng = TableTask(TableConfig(buffers=2)), np.random.default_rng(seed)
    examples = task.sample(1, rng)
    scenes, places = task.scenes_of(examples.inputs), task.config.places
    goals, blockers = scenes.goals[0], scenes.blockers[0]
    states, moves = np.zeros(task.config.rows, np.int64), []
    for _ in range(wander):
        choices = legal_moves(goals, blockers, places, states)
        if choices:
            moves.append(choices[int(rng.integers(len(choices)))])
            states[moves[-1][0]] = moves[-1][1]
    rest = _finish(task, goals, blockers, states)
    if rest is None:  # the random moves filled the buffers
        return
    moves += rest
    assert task.verify(examples.inputs, as_answer(task, examples.inputs[0], moves)).all()
    shortest = int(task.num_moves(examples.inputs)[0])
    scores = task.scores(examples, as_answer(task, examples.inputs[0], moves))
    assert scores["optimal"][0] == (len(moves) == shortest)
    assert scores["legal_moves"][0] == 1
    short = as_answer(task, examples.inputs[0], moves[:-1])
    assert not task.verify(examples.inputs, short).any()
    states[:] = 0
    for index, move in enumerate(moves):
        wrong = [
            (row, HOME)
            for row in np.flatnonzero(scenes.is_open[0] & (states != HOME)).tolist()
            if (row, HOME) not in legal_moves(goals, blockers, places, states)
        ]
        if wrong:
            rest = [each for each in moves[index:] if each != wrong[0]]
            broken = as_answer(task, examples.inputs[0], [*moves[:index], wrong[0], *rest])
            assert not task.verify(examples.inputs, broken).any()
        states[move[0]] = move[1]


def _finish(
    task: TableTask, goals: np.ndarray, blockers: np.ndarray, states: np.ndarray
) -> list[tuple[int, int]] | None:
    """A way to the goal from these states by depth-first search; None where there is none."""
    tried: set[bytes] = set()

    def search(states: np.ndarray) -> list[tuple[int, int]] | None:
        if ((states == HOME) | (goals < 0) | (goals == np.arange(len(goals)))).all():
            return []
        if states.tobytes() in tried:
            return None
        tried.add(states.tobytes())
        for row, to in legal_moves(goals, blockers, task.config.places, states):
            following = states.copy()
            following[row] = to
            rest = search(following)
            if rest is not None:
                return [(row, to), *rest]
        return None

    return search(states)


def test_cells_of_a_plan_must_be_rounds_and_other_cells_do_not_count() -> None:
    task = TableTask()
    examples = task.sample(64, np.random.default_rng(0))
    answers = examples.answers()
    for row in range(len(examples)):
        asked = np.flatnonzero(examples.labels[row] != IGNORED)
        for symbol in (task.spec.vocab_size, ROUND - 1, 0):
            wrong = answers.copy()
            wrong[row, asked[row % len(asked)]] = symbol
            is_right = task.verify(examples.inputs, wrong)
            assert not is_right[row]
            assert is_right.sum() == len(examples) - 1
    noisy = np.where(examples.labels == IGNORED, ROUND, answers)
    assert task.verify(examples.inputs, noisy).all()
    np.testing.assert_array_equal(task.with_givens(examples.inputs, noisy), answers)


def test_scenes_survive_being_written_as_cells() -> None:
    for config in CONFIGS:
        task, scenes = TableTask(config), draw_scenes(config, 200, np.random.default_rng(1))
        again = task.scenes_of(task.cells_of(scenes))
        np.testing.assert_array_equal(again.goals, scenes.goals)
        np.testing.assert_array_equal(again.blockers, scenes.blockers)
        assert (again.is_open == scenes.is_open).all()
        of_settled = scenes.in_way & ~(scenes.is_open[:, :, None] & scenes.is_open[:, None, :])
        assert not of_settled.any()


def test_a_scene_and_its_renamings_are_on_one_side_and_plans_keep_their_length() -> None:
    task = TableTask(TableConfig(buffers=2))
    examples = task.sample(100, np.random.default_rng(5))
    keys = task.orbit_keys(examples.inputs)
    assert len(np.unique(keys)) > 80
    for seed in range(3):
        moved = task.transform(examples, np.random.default_rng(seed))
        assert len(moved) == len(examples)
        assert (moved.inputs != examples.inputs).any(axis=1).mean() > 0.9
        np.testing.assert_array_equal(task.orbit_keys(moved.inputs), keys)
        np.testing.assert_array_equal(task.num_moves(moved.inputs), task.num_moves(examples.inputs))


def test_moves_without_looking_ahead_solve_a_part() -> None:
    task = make_task("table", aside=1, begun=0.0)
    examples: Any = task.sample(400, np.random.default_rng(2))
    share = task.verify(examples.inputs, task.baseline(examples.inputs).answers).mean()  # type: ignore[attr-defined]
    assert 0.55 < share < 0.8
    easy = make_task("table", objects=(2, 2), places=8, blocked=0.0, begun=0.0).sample(
        50, np.random.default_rng(2)
    )
    free = easy.take(task.num_moves(easy.inputs) == 1)  # type: ignore[attr-defined]
    assert len(free)
    baseline = task.baseline(free.inputs)  # type: ignore[attr-defined]
    assert task.verify(free.inputs, baseline.answers).all()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"objects": (5, 9)}, "objects is 5 to 9"),
        ({"objects": (5, 4)}, "objects is 5 to 4"),
        ({"places": 7}, "places is 7: give 8"),
        ({"buffers": 0}, "buffers is 0"),
        ({"aside": 5}, "aside is 5"),
        ({"blocked": 1.5}, "blocked is 1.5"),
        ({"begun": -0.1}, "begun is -0.1"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text):
        make_task("table", **options)
