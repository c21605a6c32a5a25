"""Families of generated ARC puzzles about single cells: colour map, gravity, noise, counting, rays, joining.

A family draws the rule of a puzzle, and returns a function that draws pairs under this rule.
Invariant: an output has the size of its input and differs from it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sage.hrm_core.tasks.arc.drawing import MIN_SIDE, blank, colours, place, rectangle, scatter
from sage.hrm_core.tasks.arc.grid import NUM_COLOURS
from sage.hrm_core.tasks.arc.source import Pair

MakePair = Callable[[np.random.Generator], Pair]


def colour_map(rng: np.random.Generator, side: int) -> MakePair:
    """Three colours become three others."""
    chosen = colours(rng, 6)
    table = np.arange(NUM_COLOURS, dtype=np.int32)
    table[chosen[:3]] = chosen[3:]

    def make(rng: np.random.Generator) -> Pair:
        grid = blank(rng, side)
        for colour in chosen[:3]:
            scatter(rng, grid, colour, int(rng.integers(2, grid.size // 4)))
        return Pair(input=grid, output=table[grid])

    return make


def gravity(rng: np.random.Generator, side: int) -> MakePair:
    """Cells fall to one side of the grid, and keep their order."""
    turn, palette = int(rng.integers(0, 4)), colours(rng, 3)

    def make(rng: np.random.Generator) -> Pair:
        grid = blank(rng, side)
        for colour in palette:
            scatter(rng, grid, colour, int(rng.integers(2, grid.size // 6 + 2)))
        order = np.argsort(grid != 0, axis=0, kind="stable")  # background first, so that cells lie below
        fallen = np.take_along_axis(grid, order, axis=0)
        return Pair(input=np.rot90(grid, turn), output=np.rot90(fallen, turn))

    return _differing(make)


def denoise(rng: np.random.Generator, side: int) -> MakePair:
    """Single cells of one colour are removed, rectangles of another stay."""
    body, noise = colours(rng, 2)

    def make(rng: np.random.Generator) -> Pair:
        grid = blank(rng, side)
        for _ in range(int(rng.integers(1, 4))):
            place(rng, grid, rectangle(rng, body))
        noisy = grid.copy()
        scatter(rng, noisy, noise, int(rng.integers(2, 7)))
        return Pair(input=noisy, output=grid)

    return make


def count_bar(rng: np.random.Generator, side: int) -> MakePair:
    """The last row becomes a bar with one cell for each scattered cell."""
    dot, bar = colours(rng, 2)

    def make(rng: np.random.Generator) -> Pair:
        grid = blank(rng, side)
        num = int(rng.integers(1, grid.shape[1] + 1))
        scatter(rng, grid[:-2], dot, num)
        output = grid.copy()
        output[-1, : int((grid != 0).sum())] = bar
        return Pair(input=grid, output=output)

    return make


def rays(rng: np.random.Generator, side: int) -> MakePair:
    """Each dot draws a line to one side of the grid, up to a block; the line has the dot's colour or one of
    its own.
    """
    turn, (dot, block, own) = int(rng.integers(0, 4)), colours(rng, 3)
    line = dot if rng.random() < 0.5 else own

    def make(rng: np.random.Generator) -> Pair:
        grid = blank(rng, side)
        scatter(rng, grid[-2:], block, int(rng.integers(0, grid.shape[1])))
        scatter(rng, grid[:-2], dot, int(rng.integers(1, 4)))
        output = grid.copy()
        for row, col in zip(*np.nonzero(grid == dot)):
            for below in range(row + 1, grid.shape[0]):
                if grid[below, col]:
                    break
                output[below, col] = line
        return Pair(input=np.rot90(grid, turn), output=np.rot90(output, turn))

    return _differing(make)


def join(rng: np.random.Generator, side: int) -> MakePair:
    """Two dots in one row or one column are joined by a line, in their colour or one of its own."""
    dot, own = colours(rng, 2)
    line = dot if rng.random() < 0.5 else own

    def make(rng: np.random.Generator) -> Pair:
        grid = blank(rng, side)
        output = grid.copy()
        rows = rng.permutation(grid.shape[0])[: int(rng.integers(1, 3))]
        for row in rows:
            left, right = np.sort(rng.permutation(grid.shape[1])[:2])
            if right - left < 2:
                left, right = 0, grid.shape[1] - 1
            grid[row, [left, right]] = dot
            output[row, left : right + 1] = line
            output[row, [left, right]] = dot
        turn = int(rng.integers(0, 2))
        return Pair(input=np.rot90(grid, turn), output=np.rot90(output, turn))

    return make


def extend(rng: np.random.Generator, side: int) -> MakePair:
    """Rows in a cycle of two or three colours are continued to the end of the grid."""
    turn, period = int(rng.integers(0, 4)), int(rng.integers(2, 4))

    def make(rng: np.random.Generator) -> Pair:
        rows, cols = int(rng.integers(max(MIN_SIDE, 2 * period), side + 1)), int(rng.integers(3, side + 1))
        cycle = np.zeros((period, cols), np.int32)
        for row, colour in enumerate(colours(rng, period)):
            cycle[row, rng.permutation(cols)[: int(rng.integers(1, cols + 1))]] = colour
        output = np.tile(cycle, (rows // period + 1, 1))[:rows]
        grid = output.copy()
        grid[int(rng.integers(period + 1, rows)) :] = 0
        return Pair(input=np.rot90(grid, turn), output=np.rot90(output, turn))

    return _differing(make)


def _differing(make: MakePair) -> MakePair:
    """The first pair of `make` whose output is not its input."""

    def differing(rng: np.random.Generator) -> Pair:
        while True:
            pair = make(rng)
            if not np.array_equal(pair.input, pair.output):
                return pair

    return differing
