"""Sudokus as text: one symbol a cell, '.' for a blank, 1 to 9, then A, B, C.

Invariant: `read` accepts what `write` and `draw` write; its errors are one line with the place and the
remedy.
"""

from __future__ import annotations

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.sudoku.forms import SYMBOLS, puzzles_in
from sage.hrm_core.tasks.sudoku.grid import Box, are_consistent, units_of

BLANK = "."
#: Fewest givens of a puzzle with one solution. Other boxes: all digits but one, which any such puzzle needs.
FEWEST_GIVENS = {Box(rows=2, cols=2): 4, Box(rows=2, cols=3): 8, Box(rows=3, cols=3): 17}


def read(text: str, box: Box) -> np.ndarray:
    """(n^2,) int64 of one puzzle in any form that `forms` reads. InputError: several puzzles, length, symbol,
    contradiction, too few givens. Solutions are not counted."""
    found = puzzles_in(text)
    if len(found) > 1:
        raise InputError(f"the text has {len(found)} puzzles: give one")
    symbols, side = found[0], box.num_digits
    if len(symbols) != box.num_cells:
        raise InputError(
            f"the puzzle has {len(symbols)} cells: give {box.num_cells}, {side} rows of {side}, '.' for a"
            " blank"
        )
    known = SYMBOLS[:side]
    for index, symbol in enumerate(symbols):
        if symbol not in known and symbol != BLANK:
            raise InputError(
                f"{_cell_name(index, box)} is {symbol!r}: give one of {known}, or '.' for a blank"
            )
    grid = np.array([0 if symbol == BLANK else known.index(symbol) + 1 for symbol in symbols], np.int64)
    _check(grid, box)
    return grid


def _check(grid: np.ndarray, box: Box) -> None:
    if not are_consistent(grid[None], box)[0]:
        raise InputError(f"the givens contradict each other: {_first_clash(grid, box)}")
    num_givens, fewest = int((grid > 0).sum()), FEWEST_GIVENS.get(box, box.num_digits - 1)
    if num_givens < fewest:
        raise InputError(
            f"the puzzle has {num_givens} givens: fewer than {fewest} always leave several solutions: give"
            " more"
        )


def _first_clash(grid: np.ndarray, box: Box) -> str:
    for name, unit in zip(("row", "column", "box"), units_of(box)):
        seen: dict[tuple[int, int], int] = {}
        for cell in np.flatnonzero(grid):
            key = (int(unit[cell]), int(grid[cell]))
            if key in seen:
                return (
                    f"{SYMBOLS[key[1] - 1]} is twice in {name} {key[0] + 1}: change"
                    f" {_cell_name(int(cell), box)}"
                )
            seen[key] = int(cell)
    raise AssertionError("a grid with a clash")


def _cell_name(index: int, box: Box) -> str:
    row, col = divmod(index, box.num_digits)
    return f"row {row + 1}, column {col + 1}"


def write(grid: np.ndarray) -> str:
    """One line, '.' for a blank."""
    return "".join("." if digit < 1 else SYMBOLS[digit - 1] for digit in grid.tolist())


def draw(grid: np.ndarray, box: Box) -> str:
    """Rows of cells with lines between the boxes."""
    num_digits, symbols = box.num_digits, write(grid)
    lines = []
    for row in range(num_digits):
        if row and row % box.rows == 0:
            lines.append("-+-".join("-" * (2 * box.cols - 1) for _ in range(box.rows)))
        cells = symbols[row * num_digits : (row + 1) * num_digits]
        parts = [" ".join(cells[at : at + box.cols]) for at in range(0, num_digits, box.cols)]
        lines.append(" | ".join(parts))
    return "\n".join(lines)
