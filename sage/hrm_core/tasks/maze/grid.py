"""Mazes as grids: their symmetries, their shortest ways, and whether an answer is one.

Invariant: mazes are (N, size^2), cells 1..5 for "# SGo"; a rim of walls is put around them only for the
search.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from sage.hrm_core.tasks.maze.symbols import OPEN, PATH, WALL

NUM_TURNS = 8
#: Rows and columns of the largest maze that is generated.
LARGEST_SIDE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class SolvedMazes:
    """cells (N, size^2) int32 with the first shortest way marked.  lengths (N,): its moves, -1 where there is
    none.
    """

    cells: np.ndarray
    lengths: np.ndarray


def with_rim(mazes: np.ndarray, size: int) -> np.ndarray:
    """(N, (size + 2)^2) int64."""
    rimmed = np.full((len(mazes), size + 2, size + 2), WALL, np.int64)
    rimmed[:, 1:-1, 1:-1] = mazes.reshape(-1, size, size)
    return rimmed.reshape(len(mazes), (size + 2) ** 2)


def without_rim(rimmed: np.ndarray, size: int) -> np.ndarray:
    """(N, size^2)."""
    inside: np.ndarray = rimmed.reshape(-1, size + 2, size + 2)[:, 1:-1, 1:-1].reshape(-1, size**2)
    return inside


def solve_mazes(mazes: np.ndarray, size: int) -> SolvedMazes:
    """Marks that are there already are wiped first."""
    from sage.hrm_core.tasks.maze import kernel as maze_kernel

    rimmed = with_rim(np.where(mazes == PATH, OPEN, mazes), size)
    lengths = maze_kernel.trace(rimmed, size + 2)
    return SolvedMazes(cells=without_rim(rimmed, size).astype(np.int32), lengths=lengths)


def valid_ways(mazes: np.ndarray, answers: np.ndarray, size: int, *, is_shortest: bool) -> np.ndarray:
    """(N,) bool: the maze is unchanged, and from S to G the marks are a way, with no mark off it; of the
    shortest length if required."""
    if not len(mazes):
        return np.zeros(0, bool)
    is_marked = answers == PATH
    wiped = np.where(mazes == PATH, OPEN, mazes)
    keeps = (np.where(is_marked, OPEN, answers) == wiped).all(axis=1)
    only_marks = np.where(wiped == OPEN, np.where(is_marked, OPEN, WALL), wiped)
    along = solve_mazes(only_marks, size).lengths
    # A way of k moves has k - 1 cells between its ends: as many marks, and all are on it.
    is_way = keeps & (along >= 0) & (is_marked.sum(axis=1) == along - 1)
    if not is_shortest:
        found: np.ndarray = is_way
        return found
    shortest: np.ndarray = is_way & (along == solve_mazes(mazes, size).lengths)
    return shortest


def placed(mazes: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """(N, size^2) int64: square mazes (N, side^2), each at a random place of a larger grid of walls."""
    side = math.isqrt(mazes.shape[1])
    grids = np.full((len(mazes), size, size), WALL, np.int64)
    corners = rng.integers(0, size - side + 1, size=(len(mazes), 2))
    for grid, maze, (row, col) in zip(grids, mazes.reshape(-1, side, side), corners):
        grid[row : row + side, col : col + side] = maze
    return grids.reshape(len(mazes), size**2)


def turned(mazes: np.ndarray, turns: np.ndarray, size: int) -> np.ndarray:
    """(N, size^2) int32; turns (N,) in 0..7: quarter turns, and a mirror from 4 on."""
    moved = np.empty((len(mazes), size, size), np.int32)
    grids = mazes.reshape(-1, size, size)
    for turn in range(NUM_TURNS):
        rows = turns == turn
        moved[rows] = _turn(grids[rows], turn)
    return moved.reshape(len(mazes), size**2)


def _turn(grids: np.ndarray, turn: int) -> np.ndarray:
    mirrored = grids[:, :, ::-1] if turn >= 4 else grids
    return np.rot90(mirrored, turn % 4, axes=(1, 2))


def random_turns(num: int, rng: np.random.Generator) -> np.ndarray:
    """(num,)"""
    return rng.integers(0, NUM_TURNS, size=num)


@cache
def layout_weights(size: int) -> np.ndarray:
    """(size^2,) int64, one number for all the cells that a turn or a mirror takes into each other."""
    cells = np.arange(size**2).reshape(1, size, size)
    first = np.min([_turn(cells, turn).reshape(-1) for turn in range(NUM_TURNS)], axis=0)
    weights: np.ndarray = np.random.default_rng(size).integers(0, 2**40, size=size**2)[first]
    return weights


def layout_keys(mazes: np.ndarray, size: int) -> np.ndarray:
    """(N,) int64, the same for layouts of walls that a turn or a mirror takes into each other."""
    keys: np.ndarray = (mazes == WALL) @ layout_weights(size)
    return keys


@cache
def box_weights() -> np.ndarray:
    """(side, side) int64 random numbers, one for each place in the largest bounding box of open cells."""
    return np.random.default_rng(0).integers(0, 2**40, size=(LARGEST_SIDE, LARGEST_SIDE))
