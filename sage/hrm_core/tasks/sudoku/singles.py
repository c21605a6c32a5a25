"""How far a sudoku goes by the two simplest rules alone: a cell with one digit left, a digit with one place
left in a unit.

Invariant: nothing is guessed; the order in which singles are placed does not change where they run dry.
"""

# mypy: no-warn-return-any
# what an array holds is known to numba, not to mypy
from __future__ import annotations

import numpy as np

from sage.hrm_core.tasks.loops import inner, loop
from sage.hrm_core.tasks.sudoku.kernel import choose, copy_into, digits_used, num_bits, place


@inner
def num_left(puzzle: np.ndarray, units: np.ndarray) -> int:
    """Cells still blank where singles run dry."""
    num_digits = units[0, -1] + 1
    used, grid = np.zeros((3, num_digits), np.int64), np.zeros(len(puzzle), np.int64)
    once, twice = np.zeros((3, num_digits), np.int64), np.zeros((3, num_digits), np.int64)
    copy_into(grid, puzzle)
    digits_used(grid, units, used)
    left = 0
    for cell in range(len(grid)):
        if grid[cell] == 0:
            left += 1
    while left:
        cell, options = choose(grid, units, used, once, twice)
        if num_bits(options) != 1:
            return left
        place(grid, units, used, cell, options)
        left -= 1
    return left


@loop
def left_by_singles(puzzles: np.ndarray, units: np.ndarray) -> np.ndarray:
    """(N,) of puzzles (N, n^2) int64, 0 blank, that have a solution."""
    left = np.zeros(len(puzzles), np.int64)
    for row in range(len(puzzles)):
        left[row] = num_left(puzzles[row], units)
    return left
