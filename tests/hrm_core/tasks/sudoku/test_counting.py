"""One puzzle's solutions, counted as plain Python, against the compiled search."""

from __future__ import annotations

import sys
from subprocess import run

import numpy as np
import pytest

from sage.hrm_core.tasks.sudoku.counting import count_solutions
from sage.hrm_core.tasks.sudoku.grid import Box, box_of_size, solve_grids
from sage.hrm_core.tasks.sudoku.task import SudokuConfig, SudokuTask

HARD = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."


def cells(puzzle: str) -> list[int]:
    return [int(cell.replace(".", "0")) for cell in puzzle]


@pytest.mark.parametrize("box", [(2, 2), (2, 3), (3, 2), (3, 3)])
def test_counts_are_those_of_the_compiled_search(box: tuple[int, int]) -> None:
    """Puzzles with one solution, with givens removed, and with a given changed."""
    rng = np.random.default_rng(0)
    task = SudokuTask(SudokuConfig(size=box[0] * box[1], box=box))
    some = task.held_out(6).inputs.astype(np.int64) - 1
    fewer = np.where(rng.random(some.shape) < 0.15, 0, some)
    changed = np.where((some > 0) & (rng.random(some.shape) < 0.05), some % task.box.num_digits + 1, some)
    puzzles = np.concatenate([some, fewer, changed])
    wanted = solve_grids(puzzles, task.box, limit=4).counts.tolist()
    found = [count_solutions(each.tolist(), task.box, at_most=4) for each in puzzles]
    assert found == wanted
    assert {0, 1, 4} <= set(found)


def test_a_hard_puzzle_and_an_empty_one() -> None:
    assert count_solutions(cells(HARD), box_of_size(9)) == 1
    assert count_solutions([0] * 81, box_of_size(9)) == 2
    assert count_solutions([0] * 16, box_of_size(4), at_most=1000) == 288
    assert count_solutions([0] * 256, Box(rows=4, cols=4)) == 2


def test_a_full_grid_and_a_contradiction() -> None:
    grid = SudokuTask(SudokuConfig(size=4)).held_out(1).labels[0] - 1
    assert count_solutions(grid.tolist(), box_of_size(4)) == 1
    assert count_solutions([1, 1, *[0] * 14], box_of_size(4)) == 0


def test_the_step_limit_leaves_a_puzzle_undecided_and_the_task_accepts_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sage.hrm_core.tasks.sudoku import task as sudoku_task

    assert count_solutions(cells(HARD), box_of_size(9), max_steps=20) is None
    monkeypatch.setattr(sudoku_task, "count_solutions", lambda *args, **options: None)
    assert SudokuTask().decode(SudokuTask().encode(HARD)) == HARD


def test_a_task_counts_its_puzzles_and_refuses_strange_symbols() -> None:
    task = SudokuTask(SudokuConfig(size=4))
    puzzle = task.held_out(1).inputs[0]
    assert task.count_solutions(puzzle) == 1
    assert task.count_solutions(np.ones(16, np.int32), at_most=7) == 7
    assert task.count_solutions(np.zeros(16, np.int32)) == 0


def test_counting_one_puzzle_imports_neither_numba_nor_torch() -> None:
    code = (
        "import sys; from sage.hrm_core.tasks.sudoku.task import SudokuTask;"
        f"SudokuTask().encode({HARD!r}); sys.exit('numba' in sys.modules or 'torch' in sys.modules)"
    )
    assert run([sys.executable, "-c", code], check=False).returncode == 0
