"""True rows can be completed and dead rows cannot, by the rules of the task."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sage.hrm_core.from_search.episodes import DEAD, PUZZLE, TRUE, Episodes
from sage.hrm_core.from_search.labelling import episodes_of
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.engine import Engine
from sage.hrm_core.solving.search_record import SearchRecord
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.tasks.contract import IGNORED, TaskSpec
from sage.hrm_core.tasks.sudoku.grid import solve_grids
from sage.hrm_core.tasks.sudoku.task import BLANK, SudokuConfig, SudokuTask

SETTINGS = SolveSettings(search=200, max_segments=1, search_segments=1, halt="never")


def _searched(
    model: HRM, task: SudokuTask, puzzle: np.ndarray, settings: SolveSettings = SETTINGS
) -> tuple[np.ndarray | None, SearchRecord]:
    engine, record = Engine(model, task), SearchRecord()
    job = engine.submit(puzzle, settings, record=record)
    while not engine.is_idle:
        engine.step()
    found = job.solution()
    return (found.cells if found.is_verified else None), record


def _num_solutions(task: SudokuTask, states: np.ndarray) -> list[int]:
    return [int(each) for each in solve_grids(states.astype(np.int64) - BLANK, task.box).counts]


def test_labels_are_what_a_rule_solver_says(guesser: HRM, sudoku4: SudokuTask) -> None:
    kinds: list[int] = []
    for number, puzzle in enumerate(sudoku4.held_out(6).inputs):
        solution, record = _searched(guesser, sudoku4, puzzle)
        assert solution is not None
        rows = episodes_of(sudoku4, puzzle, solution, record, number=number, calls=9)
        is_dead = rows.kind == DEAD
        assert (np.array(_num_solutions(sudoku4, rows.inputs)) == np.where(is_dead, 0, 1)).all()
        assert (rows.labels[is_dead] == IGNORED).all()
        assert sudoku4.verify(rows.inputs[~is_dead], rows.labels[~is_dead]).all()
        assert (rows.kind == PUZZLE).tolist() == [True] + [False] * (len(rows) - 1)
        assert (rows.puzzle == number).all()
        kinds += rows.kind.tolist()
    assert set(kinds) == {PUZZLE, TRUE, DEAD}


def test_an_unsolved_puzzle_gives_only_what_the_rules_closed(guesser: HRM, sudoku4: SudokuTask) -> None:
    num_rows = 0
    for puzzle in sudoku4.held_out(12).inputs:
        few = dataclasses.replace(SETTINGS, search=12, search_width=1)
        solution, record = _searched(guesser, sudoku4, puzzle, few)
        if solution is not None:
            continue
        rows = episodes_of(sudoku4, puzzle, None, record, number=0, calls=12)
        assert set(rows.kind.tolist()) <= {DEAD}
        assert set(_num_solutions(sudoku4, rows.inputs)) <= {0}
        num_rows += len(rows)
    assert num_rows


class SeveralSolutions(SudokuTask):
    """The same rules, without the promise of one solution."""

    @property
    def spec(self) -> TaskSpec:
        return dataclasses.replace(super().spec, is_unique=False)


def test_without_a_unique_solution_a_contradiction_proves_nothing(guesser: HRM, sudoku4: SudokuTask) -> None:
    task = SeveralSolutions(SudokuConfig(size=4))
    open_puzzle = np.where(np.arange(16) < 13, BLANK, sudoku4.held_out(1).answers()[0])
    solution, record = _searched(guesser, task, open_puzzle)
    assert solution is not None
    rows = episodes_of(task, open_puzzle, solution, record, number=0, calls=9, max_dead=10**6)
    assert all(count == 0 for count in _num_solutions(task, rows.inputs[rows.kind == DEAD]))
    true = rows.kind == TRUE
    assert task.verify(rows.inputs[true], rows.labels[true]).all()


@pytest.mark.parametrize("most", [0, 2])
def test_dead_rows_are_limited_and_drawn_by_the_puzzles_number(
    guesser: HRM, sudoku4: SudokuTask, most: int
) -> None:
    searched = [(puzzle, *_searched(guesser, sudoku4, puzzle)) for puzzle in sudoku4.held_out(6).inputs]
    puzzle, solution, record = max(searched, key=lambda each: len(each[2]))

    def rows(number: int) -> Episodes:
        return episodes_of(sudoku4, puzzle, solution, record, number=number, calls=9, max_dead=most)

    one, again = rows(3), rows(3)
    assert (one.kind == DEAD).sum() == most
    np.testing.assert_array_equal(one.inputs, again.inputs)
