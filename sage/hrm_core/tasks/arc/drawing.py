"""Random grids for generated ARC puzzles: sizes, scattered cells, rectangles and blobs that do not touch.

Invariant: every function is a function of its generator and its arguments alone. Shapes: grid (rows, cols)
int32; 0 is the background.
"""

from __future__ import annotations

import numpy as np

from sage.hrm_core.tasks.arc.grid import NUM_COLOURS

MIN_SIDE = 5
_TRIES = 40


def blank(rng: np.random.Generator, side: int) -> np.ndarray:
    """A grid of background with MIN_SIDE to `side` rows and columns."""
    rows, cols = rng.integers(MIN_SIDE, side + 1, size=2)
    return np.zeros((rows, cols), np.int32)


def colours(rng: np.random.Generator, num: int) -> list[int]:
    """Different colours from 1 on."""
    return [int(each) for each in rng.permutation(NUM_COLOURS - 1)[:num] + 1]


def scatter(rng: np.random.Generator, grid: np.ndarray, colour: int, num: int) -> None:
    """Give `num` background cells of the grid a colour, in place; all of them where there are fewer."""
    rows, cols = np.nonzero(grid == 0)
    chosen = rng.permutation(len(rows))[:num]
    grid[rows[chosen], cols[chosen]] = colour


def place(
    rng: np.random.Generator, grid: np.ndarray, shape: np.ndarray, *, margin: int = 1
) -> tuple[int, int] | None:
    """Draw the coloured cells of `shape` where, with `margin` cells around, all is background. Returns the
    corner; None, and an unchanged grid, where no such place was found.
    """
    rows, cols = shape.shape
    if rows > grid.shape[0] or cols > grid.shape[1]:
        return None
    for _ in range(_TRIES):
        row = int(rng.integers(0, grid.shape[0] - rows + 1))
        col = int(rng.integers(0, grid.shape[1] - cols + 1))
        around = grid[max(0, row - margin) : row + rows + margin, max(0, col - margin) : col + cols + margin]
        if not around.any():
            part = grid[row : row + rows, col : col + cols]
            part[shape != 0] = shape[shape != 0]
            return row, col
    return None


def rectangle(rng: np.random.Generator, colour: int, *, low: int = 2, high: int = 4) -> np.ndarray:
    """A filled rectangle with sides of `low` to `high` cells."""
    return np.full(rng.integers(low, high + 1, size=2), colour, np.int32)


def frame(rng: np.random.Generator, colour: int, *, low: int = 3, high: int = 5) -> np.ndarray:
    """The border of a rectangle with sides of `low` to `high` cells."""
    found = rectangle(rng, colour, low=low, high=high)
    found[1:-1, 1:-1] = 0
    return found


def blob(rng: np.random.Generator, colour: int, num: int) -> np.ndarray:
    """`num` connected cells (by their sides), cut to their bounding box."""
    size = 2 * num + 1
    mask = np.zeros((size, size), bool)
    mask[num, num] = True
    while mask.sum() < num:
        grown = np.zeros_like(mask)
        grown[1:] |= mask[:-1]
        grown[:-1] |= mask[1:]
        grown[:, 1:] |= mask[:, :-1]
        grown[:, :-1] |= mask[:, 1:]
        edge = np.flatnonzero(grown & ~mask)
        mask.reshape(-1)[rng.choice(edge)] = True
    rows, cols = mask.any(axis=1), mask.any(axis=0)
    return mask[rows][:, cols].astype(np.int32) * colour
