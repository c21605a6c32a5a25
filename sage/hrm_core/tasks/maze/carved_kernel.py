"""Mazes of all generators, with a share of their walls removed, a start and a goal.

Invariant: as in `kernel.py`; a maze is of one side by its walls after the removal.
"""

# mypy: no-warn-return-any
# what an array holds is known to numba, not to mypy
from __future__ import annotations

import numpy as np

from sage.hrm_core.tasks.loops import draw, inner, loop
from sage.hrm_core.tasks.maze.carving import carve
from sage.hrm_core.tasks.maze.kernel import clear, draw_walls, flood, nth_open, num_far
from sage.hrm_core.tasks.maze.symbols import GOAL, OPEN, START, WALL
from sage.hrm_core.tasks.split import HELD_OUT_EVERY

#: The number of random walls in `generators`; 1 to 5 are those of `carving.carve`.
RANDOM = 0
#: Layouts of one generator looked at for one maze: one in HELD_OUT_EVERY is held out.
TRIES_A_MAZE = 1000


@inner
def remove_walls(rimmed: np.ndarray, width: int, share: int, chance: np.ndarray) -> None:
    """Open share / 65536 of the wall cells inside the rim, any as likely as another."""
    num_walls = 0
    for cell in range(len(rimmed)):
        num_walls += rimmed[cell] == WALL
    num_walls -= 2 * (width + len(rimmed) // width) - 4  # the rim
    num_left = (num_walls * share + 32768) >> 16
    for row in range(1, len(rimmed) // width - 1):
        for col in range(1, width - 1):
            cell = row * width + col
            if rimmed[cell] == WALL:
                if draw(chance, num_walls) < num_left:
                    rimmed[cell] = OPEN
                    num_left -= 1
                num_walls -= 1


@inner
def is_of_side(rimmed: np.ndarray, width: int, weights: np.ndarray, is_held_out: int) -> bool:
    """Is this layout one of the held-out ones (is_held_out 1), or one of the others (0)? Decided by the open
    cells inside their bounding box, so that a layout keeps its side in a larger grid, and under a turn or a
    mirror."""
    height = len(rimmed) // width
    top, bottom, left, right = height, 0, width, 0
    for row in range(height):
        for col in range(width):
            if rimmed[row * width + col] != WALL:
                top, bottom, left, right = min(top, row), max(bottom, row), min(left, col), max(right, col)
    key = 0
    for row in range(top, bottom + 1):
        for col in range(left, right + 1):
            if rimmed[row * width + col] != WALL:
                a, b, c, d = row - top, bottom - row, col - left, right - col
                key += weights[a, c] + weights[a, d] + weights[b, c] + weights[b, d]
                key += weights[c, a] + weights[d, a] + weights[c, b] + weights[d, b]
    return (key % HELD_OUT_EVERY == 0) == (is_held_out == 1)


@inner
def place_ends(
    rimmed: np.ndarray, width: int, fewest: int, chance: np.ndarray, moves: np.ndarray, queue: np.ndarray
) -> bool:
    """S on an open cell, then G on a cell at least `fewest` moves away; False where there is none."""
    num_open = 0
    for cell in range(len(rimmed)):
        num_open += rimmed[cell] == OPEN
    if num_open <= fewest:
        return False
    start = nth_open(rimmed, draw(chance, num_open))
    reached = flood(rimmed, width, start, moves, queue)
    count = num_far(moves, queue, reached, fewest)
    goal = queue[reached - 1 - draw(chance, count)] if count > 0 else -1
    clear(moves, queue, reached)
    if goal >= 0:
        rimmed[start], rimmed[goal] = START, GOAL
    return goal >= 0


@loop
def make_carved(
    mazes: np.ndarray,
    width: int,
    rules: np.ndarray,
    generators: np.ndarray,
    layout: np.ndarray,
    box: np.ndarray,
    chance: np.ndarray,
    max_tries: int,
    state: np.ndarray,
    num_layouts: int,
) -> int:
    """Fill `mazes` (N, rimmed), each by one of `generators`; how many were made of `num_layouts` layouts. A
    generator and a share of removed walls that bring none in TRIES_A_MAZE layouts (of random walls, in
    `max_tries`) are drawn again.

    rules: as in `kernel.make`, then the share of walls removed from and to, of 65536. layout (rimmed,):
    `layout_weights`, 0 in the rim. box (side, side): `box_weights`. state (5,): draws left of generator and
    share, both as drawn last, layouts left of them, draws of random walls that brought none; the next call
    continues from it."""
    moves, queue = np.full(mazes.shape[1], -1), np.zeros(mazes.shape[1], np.int64)
    shape = np.zeros(3, np.int64)
    made = 0
    for _ in range(num_layouts):
        if made == len(mazes) or (state[3] == 0 and state[0] == 0):
            break
        if state[3] == 0:
            state[0] -= 1
            state[1] = generators[draw(chance, len(generators))]
            state[2] = rules[5] + draw(chance, rules[6] - rules[5] + 1)
            state[3] = max_tries if state[1] == RANDOM else TRIES_A_MAZE
        state[3] -= 1
        rimmed = mazes[made]
        if state[1] == RANDOM:
            draw_walls(rimmed, width, rules, layout, chance)
        else:
            carve(rimmed, width, state[1], shape, chance)
        remove_walls(rimmed, width, state[2], chance)
        if is_of_side(rimmed, width, box, rules[4]) and place_ends(
            rimmed, width, rules[2], chance, moves, queue
        ):
            made += 1
            state[3] = 0
        elif state[1] == RANDOM and state[3] == 0:
            state[4] += 1
    return made
