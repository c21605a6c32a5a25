"""Perfect mazes on a lattice of passages: one path between any two cells of the lattice.

Invariant: a grid comes in as walls alone. The cells of the lattice are two apart, at an offset of 0 or 1 in
each direction; a row or column of an even grid that lies beyond the lattice stays a wall. shape: (3,) first
cell, lattice rows, lattice columns. Lattice cells are numbered by row. See `kernel.py` for cells and rims.
"""

# mypy: no-warn-return-any
# what an array holds is known to numba, not to mypy
from __future__ import annotations

import numpy as np

from sage.hrm_core.tasks.loops import draw, inner, shuffled
from sage.hrm_core.tasks.maze.symbols import OPEN, WALL


@inner
def place_lattice(shape: np.ndarray, width: int, chance: np.ndarray) -> None:
    """Fill `shape`, with each offset at random."""
    size = width - 2
    row, col = draw(chance, 2), draw(chance, 2)
    shape[0] = (row + 1) * width + col + 1
    shape[1], shape[2] = (size - row + 1) // 2, (size - col + 1) // 2


@inner
def cell_of(shape: np.ndarray, width: int, number: int) -> int:
    """The grid cell of a lattice cell."""
    return shape[0] + 2 * (number // shape[2]) * width + 2 * (number % shape[2])


@inner
def neighbour(shape: np.ndarray, number: int, turn: int) -> int:
    """The lattice cell that lies down, left, right or up (turn 0 to 3); -1 beyond the lattice."""
    row, col = number // shape[2], number % shape[2]
    if turn == 0:
        return number + shape[2] if row + 1 < shape[1] else -1
    if turn == 1:
        return number - 1 if col > 0 else -1
    if turn == 2:
        return number + 1 if col + 1 < shape[2] else -1
    return number - shape[2] if row > 0 else -1


@inner
def join(rimmed: np.ndarray, width: int, shape: np.ndarray, number: int, turn: int) -> None:
    """Open a lattice cell, its neighbour and the wall between them."""
    cell = cell_of(shape, width, number)
    step = width if turn == 0 else -1 if turn == 1 else 1 if turn == 2 else -width
    rimmed[cell] = rimmed[cell + step] = rimmed[cell + 2 * step] = OPEN


@inner
def carve_backtracker(rimmed: np.ndarray, width: int, shape: np.ndarray, chance: np.ndarray) -> None:
    """Depth-first search in random order."""
    path, depth = np.zeros(shape[1] * shape[2], np.int64), 1
    path[0] = draw(chance, shape[1] * shape[2])
    rimmed[cell_of(shape, width, path[0])] = OPEN
    while depth > 0:
        number, num_free, chosen = path[depth - 1], 0, -1
        for turn in range(4):
            other = neighbour(shape, number, turn)
            if other >= 0 and rimmed[cell_of(shape, width, other)] == WALL:
                num_free += 1
                if draw(chance, num_free) == 0:
                    chosen = turn
        if chosen < 0:
            depth -= 1
        else:
            join(rimmed, width, shape, number, chosen)
            path[depth] = neighbour(shape, number, chosen)
            depth += 1


@inner
def carve_prim(rimmed: np.ndarray, width: int, shape: np.ndarray, chance: np.ndarray) -> None:
    """Prim's algorithm with random weights: each step opens one of the walls around the maze so far."""
    edges, num_edges = np.zeros(4 * shape[1] * shape[2], np.int64), 0
    number = draw(chance, shape[1] * shape[2])
    rimmed[cell_of(shape, width, number)] = OPEN
    while True:
        for turn in range(4):
            other = neighbour(shape, number, turn)
            if other >= 0 and rimmed[cell_of(shape, width, other)] == WALL:
                edges[num_edges] = 4 * number + turn
                num_edges += 1
        other = -1
        while num_edges > 0 and other < 0:
            at = draw(chance, num_edges)
            edge, num_edges = edges[at], num_edges - 1
            edges[at] = edges[num_edges]
            other = neighbour(shape, edge // 4, edge % 4)
            if rimmed[cell_of(shape, width, other)] == WALL:
                join(rimmed, width, shape, edge // 4, edge % 4)
            else:
                other = -1
        if other < 0:
            return
        number = other


@inner
def root_of(parents: np.ndarray, number: int) -> int:
    """The root of a tree of the disjoint sets; shortens the way to it."""
    while parents[number] != number:
        parents[number] = parents[parents[number]]
        number = parents[number]
    return number


@inner
def carve_kruskal(rimmed: np.ndarray, width: int, shape: np.ndarray, chance: np.ndarray) -> None:
    """Kruskal's algorithm with random weights: walls in random order, opened where they divide two trees."""
    num = shape[1] * shape[2]
    parents, order = np.arange(num), np.zeros(2 * num, np.int64)
    shuffled(chance, order)
    for edge in order:
        number, turn = edge // 2, 2 * (edge % 2)  # down or right
        other = neighbour(shape, number, turn)
        if other >= 0 and root_of(parents, number) != root_of(parents, other):
            parents[root_of(parents, number)] = root_of(parents, other)
            join(rimmed, width, shape, number, turn)


@inner
def carve_wilson(rimmed: np.ndarray, width: int, shape: np.ndarray, chance: np.ndarray) -> None:
    """Wilson's algorithm: loop-erased random walks, so that every perfect maze is equally likely."""
    num = shape[1] * shape[2]
    order, turns = np.zeros(num, np.int64), np.zeros(num, np.int64)
    shuffled(chance, order)
    rimmed[cell_of(shape, width, order[0])] = OPEN
    for start in order:
        number = start
        while rimmed[cell_of(shape, width, number)] == WALL:
            turn = draw(chance, 4)
            other = neighbour(shape, number, turn)
            if other >= 0:
                turns[number], number = turn, other
        number = start
        while rimmed[cell_of(shape, width, number)] == WALL:
            turn = turns[number]
            join_one(rimmed, width, shape, number, turn)
            number = neighbour(shape, number, turn)


@inner
def join_one(rimmed: np.ndarray, width: int, shape: np.ndarray, number: int, turn: int) -> None:
    """Open a lattice cell and the wall towards its neighbour, which stays as it is."""
    cell = cell_of(shape, width, number)
    step = width if turn == 0 else -1 if turn == 1 else 1 if turn == 2 else -width
    rimmed[cell] = rimmed[cell + step] = OPEN


@inner
def carve_division(rimmed: np.ndarray, width: int, shape: np.ndarray, chance: np.ndarray) -> None:
    """Recursive division: an open chamber is divided by a wall with one gap, until all are one cell wide."""
    for row in range(2 * shape[1] - 1):
        for col in range(2 * shape[2] - 1):
            rimmed[shape[0] + row * width + col] = OPEN
    chambers, num_left = np.zeros((shape[1] * shape[2], 4), np.int64), 1
    chambers[0, 2], chambers[0, 3] = shape[1], shape[2]
    while num_left > 0:
        num_left -= 1
        top, left = chambers[num_left, 0], chambers[num_left, 1]
        rows, cols = chambers[num_left, 2], chambers[num_left, 3]
        if min(rows, cols) < 2:
            continue
        is_flat = rows > cols or (rows == cols and draw(chance, 2) == 0)
        length, depth = (cols, rows) if is_flat else (rows, cols)
        cut, gap = 1 + draw(chance, depth - 1), 2 * draw(chance, length)
        along, across = (1, width) if is_flat else (width, 1)
        first = shape[0] + 2 * (top * width + left) + (2 * cut - 1) * across
        for index in range(2 * length - 1):
            if index != gap:
                rimmed[first + index * along] = WALL
        for half in range(2):
            begin, count = (0, cut) if half == 0 else (cut, depth - cut)
            chambers[num_left, 0] = top + begin if is_flat else top
            chambers[num_left, 1] = left if is_flat else left + begin
            chambers[num_left, 2] = count if is_flat else rows
            chambers[num_left, 3] = cols if is_flat else count
            num_left += 1


@inner
def carve(rimmed: np.ndarray, width: int, generator: int, shape: np.ndarray, chance: np.ndarray) -> None:
    """A perfect maze. generator: 1 backtracker, 2 Prim, 3 Kruskal, 4 Wilson, 5 recursive division."""
    for cell in range(len(rimmed)):
        rimmed[cell] = WALL
    place_lattice(shape, width, chance)
    if generator == 1:
        carve_backtracker(rimmed, width, shape, chance)
    elif generator == 2:
        carve_prim(rimmed, width, shape, chance)
    elif generator == 3:
        carve_kruskal(rimmed, width, shape, chance)
    elif generator == 4:
        carve_wilson(rimmed, width, shape, chance)
    else:
        carve_division(rimmed, width, shape, chance)
