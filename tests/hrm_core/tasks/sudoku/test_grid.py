"""The first puzzles of a process are counted without compilation, with the same results."""

from __future__ import annotations

import numpy as np
import pytest

from sage.hrm_core.tasks.sudoku import grid as sudoku_grid
from sage.hrm_core.tasks.sudoku.grid import Box, solve_grids

BOX = Box(rows=3, cols=3)
ONE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
MANY = "." * 81
NONE = "55" + "." * 79
#: Needs more than MAX_PLAIN_STEPS steps.
HARD = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."


def grids(*puzzles: str) -> np.ndarray:
    return np.array([[int(cell.replace(".", "0")) for cell in puzzle] for puzzle in puzzles])


@pytest.fixture
def uses_compiled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of puzzles that the compiled loop gets, in a process that has counted none."""
    from sage.hrm_core.tasks.sudoku import kernel

    class Recorded:
        plain = staticmethod(kernel.solve_many.plain)

        def __call__(self, puzzles: np.ndarray, *rest: np.ndarray) -> np.ndarray:
            calls.append(len(puzzles))
            return solve_many(puzzles, *rest)

    calls: list[int] = []
    solve_many = kernel.solve_many
    monkeypatch.setattr(kernel, "solve_many", Recorded())
    monkeypatch.setattr(sudoku_grid, "_few_rows", sudoku_grid._FewRows())
    return calls


def test_a_few_puzzles_are_counted_as_python_and_later_ones_compiled(uses_compiled: list[int]) -> None:
    first = solve_grids(grids(ONE, MANY, NONE), BOX)
    assert uses_compiled == []
    later = solve_grids(grids(ONE, MANY, NONE), BOX)
    assert uses_compiled == [3]
    assert first.counts.tolist() == later.counts.tolist() == [1, 2, 0]
    assert np.array_equal(first.solutions, later.solutions)


def test_a_hard_puzzle_is_decided_by_the_compiled_loop(uses_compiled: list[int]) -> None:
    assert solve_grids(grids(HARD), BOX).counts.tolist() == [1]
    assert uses_compiled == [1]


def test_a_limit_on_steps_below_the_plain_limit_holds(uses_compiled: list[int]) -> None:
    assert solve_grids(grids(ONE), BOX, max_steps=5).counts.tolist() == [-1]
    assert uses_compiled == []
