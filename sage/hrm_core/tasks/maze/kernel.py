"""Mazes made and solved: breadth-first search on a grid with a rim of walls. See `grid.py` for the meaning of
cells.

Invariant: cells are 1 wall, 2 open, 3 start, 4 goal, 5 path; a rimmed grid is ((rows + 2) * (cols + 2),), rim
1.
"""

# mypy: no-warn-return-any
# what an array holds is known to numba, not to mypy
from __future__ import annotations

import numpy as np

from sage.hrm_core.tasks.loops import draw, inner, loop
from sage.hrm_core.tasks.maze.symbols import GOAL, OPEN, PATH, START, WALL
from sage.hrm_core.tasks.split import HELD_OUT_EVERY


@inner
def flood(rimmed: np.ndarray, width: int, start: int, moves: np.ndarray, queue: np.ndarray) -> int:
    """Moves from `start` to each cell that is no wall; how many were reached. `moves` comes in as -1, and
    stays so where there is no way. The queue keeps the cells in order of distance."""
    moves[start], queue[0] = 0, start
    first, last = 0, 1
    while first < last:
        cell = queue[first]
        first += 1
        for turn in range(4):
            # down, left, right, up
            other = cell + (width if turn == 0 else -1 if turn == 1 else 1 if turn == 2 else -width)
            if rimmed[other] != WALL and moves[other] < 0:
                moves[other] = moves[cell] + 1
                queue[last] = other
                last += 1
    return last


@inner
def clear(moves: np.ndarray, queue: np.ndarray, reached: int) -> None:
    """What the last flood left, back to -1."""
    for index in range(reached):
        moves[queue[index]] = -1


@inner
def draw_walls(
    rimmed: np.ndarray, width: int, rules: np.ndarray, weights: np.ndarray, chance: np.ndarray
) -> int:
    """A layout with a share of walls within the rules'; how many cells are open, -1 where the layout is of
    the other side. Two cells a draw."""
    num_open, word, key = 0, 0, 0
    wall_odds = rules[0] + draw(chance, rules[1] - rules[0] + 1)
    for row in range(1, len(rimmed) // width - 1):
        for col in range(1, width - 1):
            word = draw(chance, 0x7FFFFFFF) if col % 2 else word >> 16
            cell = row * width + col
            if (word & 0x7FFF) * 2 < wall_odds:
                rimmed[cell] = WALL
                key += weights[cell]
            else:
                rimmed[cell] = OPEN
                num_open += 1
    return num_open if (key % HELD_OUT_EVERY == 0) == (rules[4] == 1) else -1


@inner
def nth_open(rimmed: np.ndarray, count: int) -> int:
    for cell in range(len(rimmed)):
        if rimmed[cell] == OPEN:
            if count == 0:
                return cell
            count -= 1
    return -1


@loop
def make(
    mazes: np.ndarray, width: int, rules: np.ndarray, weights: np.ndarray, chance: np.ndarray, max_tries: int
) -> int:
    """Fill `mazes` (N, rimmed) with walls, start and goal; how many were made of `max_tries` triples of
    layout, start and goal, each as likely. rules: wall odds from, wall odds to, fewest moves, crowd (of
    `make_rare` alone), 1 for held-out layouts or 0 for the others. weights (rimmed,): `layout_weights`."""
    moves, queue = np.full(mazes.shape[1], -1), np.zeros(mazes.shape[1], np.int64)
    made = 0
    for _ in range(max_tries):
        if made == len(mazes):
            break
        rimmed = mazes[made]
        num_open = draw_walls(rimmed, width, rules, weights, chance)
        if num_open <= rules[2]:
            continue
        start, goal = nth_open(rimmed, draw(chance, num_open)), nth_open(rimmed, draw(chance, num_open))
        reached = flood(rimmed, width, start, moves, queue)
        if moves[goal] >= rules[2]:
            rimmed[start], rimmed[goal] = START, GOAL
            made += 1
        clear(moves, queue, reached)
    return made


@inner
def has_long_way(rimmed: np.ndarray, width: int, fewest: int, moves: np.ndarray, queue: np.ndarray) -> bool:
    """Is any cell `fewest` moves from another? By sweeps: to a farthest cell, from it to one farthest from
    it, once more. Where the second falls short by a fifth, the third is not made. Leaves `moves` as -1."""
    is_long = False
    for cell in range(len(rimmed)):
        if rimmed[cell] == WALL or moves[cell] >= 0 or is_long:
            continue
        reached = flood(rimmed, width, cell, moves, queue)
        for sweep in range(3):
            farthest = queue[reached - 1]
            is_long = moves[farthest] >= fewest
            if is_long or reached <= fewest or (sweep == 1 and 5 * moves[farthest] < 4 * fewest):
                break
            clear(moves, queue, reached)
            flood(rimmed, width, farthest, moves, queue)
        is_long = moves[queue[reached - 1]] >= fewest
    for cell in range(len(rimmed)):
        moves[cell] = -1
    return is_long


@inner
def num_far(moves: np.ndarray, queue: np.ndarray, reached: int, fewest: int) -> int:
    """How many cells at the end of the queue are `fewest` moves away or more."""
    count = 0
    while count < reached and moves[queue[reached - 1 - count]] >= fewest:
        count += 1
    return count


@loop
def make_rare(
    mazes: np.ndarray, width: int, rules: np.ndarray, weights: np.ndarray, chance: np.ndarray, max_tries: int
) -> int:
    """As `make`, where few triples pass: a layout gives (its pairs that pass) / crowd mazes, rounded at
    random, so that a pair's odds are still the same in every layout. The layouts that give several mazes are
    what it costs."""
    moves, queue = np.full(mazes.shape[1], -1), np.zeros(mazes.shape[1], np.int64)
    layout, counts = np.full(mazes.shape[1], WALL), np.zeros(mazes.shape[1], np.int64)
    made, fewest = 0, rules[2]
    for _ in range(max_tries):
        if made == len(mazes):
            break
        if draw_walls(layout, width, rules, weights, chance) <= fewest or not has_long_way(
            layout, width, fewest, moves, queue
        ):
            continue
        num_pairs = 0
        for start in range(len(layout)):
            counts[start] = 0
            if layout[start] == OPEN:
                reached = flood(layout, width, start, moves, queue)
                counts[start] = num_far(moves, queue, reached, fewest)
                num_pairs += counts[start]
                clear(moves, queue, reached)
        for _copy in range((num_pairs + draw(chance, rules[3])) // rules[3]):
            if made < len(mazes):
                start, pair = 0, draw(chance, num_pairs)
                while pair >= counts[start]:
                    pair -= counts[start]
                    start += 1
                reached = flood(layout, width, start, moves, queue)
                for cell in range(len(layout)):
                    mazes[made, cell] = layout[cell]
                mazes[made, start], mazes[made, queue[reached - 1 - pair]] = START, GOAL
                clear(moves, queue, reached)
                made += 1
    return made


@loop
def trace(mazes: np.ndarray, width: int) -> np.ndarray:
    """(N,) moves of the shortest way, -1 where there is none. Marks in place the first of the shortest ways,
    in the order down, left, right, up from the start."""
    lengths = np.full(len(mazes), -1)
    moves, queue = np.full(mazes.shape[1], -1), np.zeros(mazes.shape[1], np.int64)
    for row in range(len(mazes)):
        rimmed, cell, goal = mazes[row], -1, -1
        for each in range(len(rimmed)):
            if rimmed[each] == START:
                cell = each
            elif rimmed[each] == GOAL:
                goal = each
        if cell < 0 or goal < 0:
            continue
        reached = flood(rimmed, width, goal, moves, queue)
        lengths[row] = moves[cell]
        while moves[cell] > 1:
            for turn in range(4):
                other = cell + (width if turn == 0 else -1 if turn == 1 else 1 if turn == 2 else -width)
                if moves[other] == moves[cell] - 1:
                    cell = other
                    rimmed[cell] = PATH
                    break
        clear(moves, queue, reached)
    return lengths
