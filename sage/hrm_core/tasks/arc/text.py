"""ARC grids as text: lines of digits 0..9.

Invariant: `encode_grid(decode_grid(cells))` has the grid of `cells`, at the top left of the board.
"""

from __future__ import annotations

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.arc.grid import BOARD, board, grid_of


def encode_grid(text: str, side: int = BOARD) -> np.ndarray:
    """(side^2,) int32. InputError for a line that is no row of colours, or a grid larger than the board."""
    lines = [line.replace(" ", "") for line in text.strip().splitlines()]
    for number, line in enumerate(lines, start=1):
        if len(line) != len(lines[0]) or not (line.isascii() and line.isdigit()):
            raise InputError(
                f"line {number} is {line!r}: give {len(lines[0])} colours of 0 to 9, as in line 1"
            )
    if not lines or max(len(lines), len(lines[0])) > side:
        raise InputError(f"the grid has {len(lines)} lines: give 1 to {side} of 1 to {side} colours")
    return board(np.array([[int(symbol) for symbol in line] for line in lines], np.int32), side=side)


def decode_grid(cells: np.ndarray, side: int = BOARD) -> str:
    """One digit a cell."""
    return "\n".join("".join(map(str, row)) for row in grid_of(cells, side=side).tolist())


def render_grid(cells: np.ndarray, side: int = BOARD) -> str:
    """The same with spaces between cells and "." for the background."""
    return "\n".join(
        " ".join("." if colour == 0 else str(colour) for colour in row)
        for row in grid_of(cells, side=side).tolist()
    )
