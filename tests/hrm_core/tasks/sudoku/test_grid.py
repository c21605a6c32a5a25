"""Many puzzles are counted by the compiled search."""

from __future__ import annotations

import numpy as np

from sage.hrm_core.tasks.sudoku.grid import Box, solve_grids

BOX = Box(rows=3, cols=3)
ONE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
MANY = "." * 81
NONE = "55" + "." * 79


def grids(*puzzles: str) -> np.ndarray:
    return np.array([[int(cell.replace(".", "0")) for cell in puzzle] for puzzle in puzzles])


def test_solutions_are_counted_up_to_the_limit() -> None:
    assert solve_grids(grids(ONE, MANY, NONE), BOX).counts.tolist() == [1, 2, 0]
    assert solve_grids(grids(MANY), BOX, limit=5).counts.tolist() == [5]


def test_a_limit_on_steps_leaves_a_puzzle_undecided() -> None:
    assert solve_grids(grids(ONE), BOX, max_steps=5).counts.tolist() == [-1]
