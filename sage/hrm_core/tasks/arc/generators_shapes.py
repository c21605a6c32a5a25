"""Families of generated ARC puzzles about shapes: fill, outline, recolour by size, move, mirror.

Invariant: an output has the size of its input and differs from it.
"""

from __future__ import annotations

import numpy as np

from sage.hrm_core.tasks.arc.drawing import blank, blob, colours, frame, place, scatter
from sage.hrm_core.tasks.arc.generators_cells import MakePair
from sage.hrm_core.tasks.arc.objects import components
from sage.hrm_core.tasks.arc.source import Pair


def fill(rng: np.random.Generator, side: int) -> MakePair:
    """Background that a frame encloses gets a colour; open shapes and single cells stay."""
    wall, inside = colours(rng, 2)

    def make(rng: np.random.Generator) -> Pair:
        while True:
            grid = blank(rng, side)
            for _ in range(int(rng.integers(1, 4))):
                place(rng, grid, frame(rng, wall))
            scatter(rng, grid, wall, int(rng.integers(0, 4)))
            labels, _ = components(grid == 0)
            edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
            is_inside = (labels > 0) & ~np.isin(labels, edge)
            if is_inside.any():
                return Pair(input=grid, output=np.where(is_inside, np.int32(inside), grid))

    return make


def outline(rng: np.random.Generator, side: int) -> MakePair:
    """Background next to a shape gets a colour; next to it by corners too in every second puzzle."""
    body, edge = colours(rng, 2)
    has_corners = bool(rng.random() < 0.5)

    def make(rng: np.random.Generator) -> Pair:
        grid = blank(rng, side)
        place(rng, grid, blob(rng, body, int(rng.integers(1, 6))))
        place(rng, grid, blob(rng, body, int(rng.integers(1, 4))), margin=3)
        return Pair(input=grid, output=np.where(_around(grid != 0, has_corners), np.int32(edge), grid))

    return make


def _around(mask: np.ndarray, has_corners: bool) -> np.ndarray:
    """Cells outside the mask that touch it."""
    rows, cols = mask.shape
    wide = np.pad(mask, 1)
    found: np.ndarray = np.zeros_like(mask)
    for down in (0, 1, 2):
        for right in (0, 1, 2):
            if has_corners or 1 in (down, right):
                found |= wide[down : down + rows, right : right + cols]
    found &= ~mask
    return found


def recolour_by_size(rng: np.random.Generator, side: int) -> MakePair:
    """Of shapes in one colour, the largest, or the smallest, gets another colour."""
    body, other = colours(rng, 2)
    order = -1 if rng.random() < 0.5 else 0

    def make(rng: np.random.Generator) -> Pair:
        while True:
            grid = blank(rng, side)
            for num in rng.permutation(np.arange(1, 8))[: int(rng.integers(2, 4))]:
                place(rng, grid, blob(rng, body, int(num)))
            labels, count = components(grid != 0)
            sizes = np.bincount(labels.reshape(-1), minlength=count + 1)[1:]
            if count >= 2 and len(set(sizes.tolist())) == count:
                chosen = 1 + int(np.argsort(sizes)[order])
                return Pair(input=grid, output=np.where(labels == chosen, np.int32(other), grid))

    return make


def move(rng: np.random.Generator, side: int) -> MakePair:
    """A shape moves to one side until it touches a wall, a whole row of another colour."""
    turn, (body, wall) = int(rng.integers(0, 4)), colours(rng, 2)

    def make(rng: np.random.Generator) -> Pair:
        while True:
            grid = blank(rng, side)
            at = int(rng.integers(4, grid.shape[0]))
            grid[at] = wall
            shape = blob(rng, body, int(rng.integers(2, 6)))
            top = place(rng, grid[:at], shape)
            distance = 0 if top is None else at - (top[0] + shape.shape[0])
            if distance > 0:
                output = np.where(grid == wall, np.int32(wall), np.int32(0))
                output[distance:at] = grid[: at - distance]
                return Pair(input=np.rot90(grid, turn), output=np.rot90(output, turn))

    return make


def mirror(rng: np.random.Generator, side: int) -> MakePair:
    """One half of the grid is empty, and becomes the mirror image of the other."""
    turn = int(rng.integers(0, 4))

    def make(rng: np.random.Generator) -> Pair:
        half = blank(rng, side)[:, : side // 2]
        for colour in colours(rng, 2):
            scatter(rng, half, colour, int(rng.integers(2, half.size // 3 + 2)))
        middle = np.zeros((len(half), int(rng.integers(0, 1 + side - 2 * half.shape[1]))), np.int32)
        grid = np.hstack([half, middle, np.zeros_like(half)])
        output = np.hstack([half, middle, half[:, ::-1]])
        return Pair(input=np.rot90(grid, turn), output=np.rot90(output, turn))

    return make
