"""Keys of sudoku puzzles that no symmetry changes, found without their solutions.

Cells take colours: first given or blank, then in each round a mix of their own colour and the sums of colours
over their row and column, their box and the cells with the same digit (Weisfeiler and Leman 1968). The key is
a mix of all colours. Puzzles that are not symmetric to each other can share a key, which is rare.
Shapes: N puzzles, L = n^2 cells.
"""

from __future__ import annotations

import numpy as np

from sage.hrm_core.tasks.split import mixed
from sage.hrm_core.tasks.sudoku.grid import Box, units_of

NUM_ROUNDS = 4


def puzzle_orbit_keys(puzzles: np.ndarray, box: Box) -> np.ndarray:
    """(N,) uint64 of puzzles (N, n^2), 0 blank: equal where a symmetry takes one to the other."""
    puzzles = puzzles.astype(np.int64)
    num, side = len(puzzles), box.num_digits
    is_given = puzzles > 0
    colours = mixed(is_given.astype(np.uint64))  # (N, L)
    rows, cols, boxes = (np.broadcast_to(unit, puzzles.shape) for unit in units_of(box))
    is_square = box.rows == box.cols
    for _ in range(NUM_ROUNDS):
        by_row, by_col, by_box = (_sums(colours, unit, num, side) for unit in (rows, cols, boxes))
        # a square box allows rows against columns, so that the two count alike
        lines = mixed(by_row) + (mixed(by_col) if is_square else mixed(mixed(by_col)))
        by_digit = np.where(is_given, _sums(colours, puzzles, num, side + 1), np.uint64(0))
        colours = mixed(mixed(mixed(mixed(colours) + lines) + by_box) + by_digit)
    keys: np.ndarray = mixed(colours.sum(axis=1, dtype=np.uint64))
    return keys


def _sums(colours: np.ndarray, unit: np.ndarray, num: int, count: int) -> np.ndarray:
    """(N, L) the sum of colours over the cells with the same number in `unit` (N, L), modulo 2^64."""
    sums = np.zeros((num, count), np.uint64)
    np.add.at(sums, (np.arange(num)[:, None], unit), colours)
    return np.take_along_axis(sums, unit, axis=1)
