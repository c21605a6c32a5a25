"""What a search needs of a task, asked of every searchable task of the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from sage.hrm_core.tasks.catalogue import make_task, targets, task_kind
from sage.hrm_core.tasks.conformance import PARTIAL_CHECKS, CheckFailed, SearchCase
from sage.hrm_core.tasks.constraint.kernel import first_colourings
from sage.hrm_core.tasks.maze.grid import solve_mazes
from sage.hrm_core.tasks.sudoku.grid import solve_grids
from sage.hrm_core.tasks.table.kernel import solve_scenes

BUILDS: dict[str, dict[str, Any]] = {
    "sudoku-4": {"size": 4},
    "sudoku-6": {"size": 6},
    "sudoku-9": {"size": 9},
    "sudoku-16": {"size": 16},
    "sudoku-wide": {"size": 6, "box": (3, 2)},
    "maze-small": {"size": 6, "difficulty": "easy"},
    "maze-large": {"size": 12, "difficulty": "medium"},
    "hanoi-plan": {"disks": 4},
    "hanoi-moves": {"disks": 3, "horizon": 3},
    "hanoi-next": {"disks": 5, "horizon": 1},
    "sat-small": {"variables": 6},
    "sat-large": {"variables": 18, "ratio": 3.0},
    "sat-wide": {"variables": 9, "width": 4},
    "diagnosis-small": {"causes": (5, 8), "symptoms": (5, 8), "nodes": (12, 16), "reach": (1, 4)},
    "diagnosis-large": {},
    "table-usual": {},
    "table-wide": {"buffers": 2, "blocked": 0.8, "begun": 0.6},
    "colouring-3": {"vertices": 8},
    "colouring-4": {"vertices": 11, "colours": 4, "density": (0.3, 0.7)},
}
NUM = {"maze-large": 2, "hanoi-plan": 3}


@cache
def case_of(name: str) -> SearchCase:
    task = make_task(name.split("-")[0], **BUILDS[name])
    return SearchCase(task=task, examples=task.held_out(NUM.get(name, 6)), solve=_solver(name, task))


def _solver(name: str, task: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Valid answers by the task's own rules, without a model."""

    def sudoku(puzzles: np.ndarray) -> np.ndarray:
        return (solve_grids(puzzles - 1, task.box, limit=1).solutions + 1).astype(np.int32)

    def maze(puzzles: np.ndarray) -> np.ndarray:
        return solve_mazes(puzzles, task.size).cells

    def hanoi(puzzles: np.ndarray) -> np.ndarray:
        disks = task.config.disks
        states = [([int(cell) - 3 for cell in row[:disks]], int(row[disks]) - 3) for row in puzzles]
        return np.array([task._row(pegs, goal) for pegs, goal in states], np.int32)

    def sat(puzzles: np.ndarray) -> np.ndarray:
        clauses = task._signs(puzzles) * np.arange(1, task.num_vars + 1)
        return task._solved(clauses).answers()

    def colouring(puzzles: np.ndarray) -> np.ndarray:
        edges, colours = task._edges(puzzles), np.zeros((len(puzzles), task.config.vertices), np.int64)
        assert (first_colourings(edges.astype(np.int64), task.config.colours, colours, 10**6) == 1).all()
        answers = np.array(puzzles)
        task._colours(answers)[:] = 17 + colours
        return answers

    def diagnosis(puzzles: np.ndarray) -> np.ndarray:
        return task.with_causes(puzzles, task.solved(task.graphs_of(puzzles))[0])

    def table(puzzles: np.ndarray) -> np.ndarray:
        scenes = task.scenes_of(puzzles)
        aside, home = np.zeros_like(scenes.goals), np.zeros_like(scenes.goals)
        solve_scenes(scenes.goals, scenes.blockers, task.config.places, aside, home)
        return task.with_plan(puzzles, aside, home)

    return {
        "table": table,
        "sudoku": sudoku,
        "maze": maze,
        "hanoi": hanoi,
        "sat": sat,
        "colouring": colouring,
        "diagnosis": diagnosis,
    }[name.split("-")[0]]


@pytest.mark.parametrize("check", PARTIAL_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", BUILDS)
def test_a_searchable_task_keeps_its_contract(name: str, check: Callable[[SearchCase], None]) -> None:
    check(case_of(name))


def test_the_catalogue_lists_what_is_searchable() -> None:
    kinds = [task_kind(name) for name, target in targets().items() if target.startswith("sage.")]
    assert {kind.name for kind in kinds if kind.is_searchable} == {name.split("-")[0] for name in BUILDS}


@pytest.mark.parametrize("name", ["maze-small", "hanoi-plan", "hanoi-moves"])
def test_a_refused_prefix_is_refused_with_more_steps_too(name: str) -> None:
    case, rng = case_of(name), np.random.default_rng(1)
    num_refused = 0
    for puzzle in np.repeat(case.examples.inputs, 8, axis=0):
        partial, may = np.array(puzzle), True
        at = int((puzzle == 3).argmax())  # S of a maze
        for _ in range(6):
            if name.startswith("maze"):  # a step anywhere around the last one, over walls and over itself
                side = case.task.size
                at = int(np.clip(at + rng.choice([-side, -1, 1, side]), 0, side**2 - 1))
                partial[at] = 5
            elif (partial == 1).any():
                partial[np.flatnonzero(partial == 1)[0]] = rng.integers(6, 12)
            longer = bool(case.task.may_extend(puzzle[None], partial[None])[0])
            assert may or not longer
            may, num_refused = longer, num_refused + (not longer)
    assert num_refused > 10


def test_a_prefix_of_a_maze_never_runs_beside_itself_nor_past_the_goal() -> None:
    task = make_task("maze", size=4, difficulty="easy")
    puzzle = task.encode("S   \n    \n   G\n    ")
    for marks, is_prefix in (
        ("So  \n o  \n   G\n    ", True),
        ("Soo \n  o \n  oG\n    ", True),
        ("Soo \n  o \n  oG\n  o ", False),  # past G
        ("So  \noo  \n   G\n    ", False),  # beside S
        ("Sooo\n   o\n   G\n    ", True),
        ("S   \n o  \n   G\n    ", False),  # not from S
        ("So  \n o  \noo G\no   ", True),
        ("So  \n  o \n   G\n    ", False),  # not connected
        ("So  \n oo \n  oG\n oo ", False),
    ):
        partial = np.array(["# SGo".index(cell) + 1 for cell in marks.replace("\n", "")], np.int32)
        assert task.may_extend(puzzle[None], partial[None])[0] == is_prefix, marks


class _Broken:
    """A sudoku with one method of PartialCheck replaced."""

    def __init__(self, task: Any, **methods: Any) -> None:
        self._task = task
        self.__dict__.update(methods)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)


@pytest.mark.parametrize(
    ("check", "methods"),
    [
        ("true_choices_may_extend", {"may_extend": lambda i, p: (p != 1).all(1)}),
        ("true_choices_complete", {"complete": lambda i, p, a: np.where(p == 1, 2, p).astype(np.int32)}),
        ("the_puzzle_itself_is_unchanged_without_choices", {"as_inputs": lambda i, p: p + 1}),
        ("wrong_choices_are_refused", {"may_extend": lambda i, p: np.ones(len(i), bool)}),
        ("refusal_is_final", {"may_extend": lambda i, p: (p == 1).sum(1) % 2 == 0}),
        ("batches_equal_rows", {"as_inputs": lambda i, p: p.astype(np.int64)}),
        ("batches_equal_rows", {"may_extend": lambda i, p: np.arange(len(i)) % 2 == 0}),
        ("certain_answers_give_true_choices", {"choice_log_probs": lambda i, p, x: np.roll(x, 1, axis=2)}),
    ],
)
def test_a_check_fails_for_a_task_that_breaks_its_part(check: str, methods: dict[str, Any]) -> None:
    case = case_of("sudoku-6")
    broken = SearchCase(task=_Broken(case.task, **methods), examples=case.examples)
    failing = next(each for each in PARTIAL_CHECKS if each.__name__ == check)
    with pytest.raises(CheckFailed):
        failing(broken)


def test_a_check_fails_for_steps_that_may_not_follow() -> None:
    case = case_of("maze-small")
    every = np.array([(cell, 5) for cell in range(36)], np.int32)
    broken = SearchCase(
        task=_Broken(case.task, next_choices=lambda puzzle, partial: every),
        examples=case.examples,
        solve=case.solve,
    )
    with pytest.raises(CheckFailed, match="a step that may_extend refuses"):
        next(each for each in PARTIAL_CHECKS if each.__name__ == "steps_may_extend")(broken)
