"""Grids of sudoku with any box: their geometry, their solutions, and the symmetries that keep them valid.

Invariant: a grid here is (N, n^2) int64, 0 blank, digits 1..n; what a model sees is `sudoku`'s business.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from sage.errors import InputError

MAX_DIGITS = 25
#: Search steps after which a puzzle counts as undecided; the hardest 9x9 known take some thousands.
MAX_STEPS = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """rows x cols cells a box; the grid has n = rows * cols digits, n x n cells."""

    rows: int
    cols: int

    def __post_init__(self) -> None:
        if min(self.rows, self.cols) < 2 or self.rows * self.cols > MAX_DIGITS:
            raise InputError(
                f"box is {self.rows}x{self.cols}: give two sides of 2 or more with a product up to"
                f" {MAX_DIGITS}"
            )

    @property
    def num_digits(self) -> int:
        return self.rows * self.cols

    @property
    def num_cells(self) -> int:
        return self.num_digits**2


def box_of_size(size: int) -> Box:
    """The usual box of an n x n grid: 4 is 2x2, 6 is 2x3, 8 is 2x4, 9 is 3x3, 16 is 4x4."""
    if not has_boxes(size):
        raise InputError(f"size is {size}: give one that is a product of two sides, such as 4, 6, 9 or 16")
    return Box(rows=_box_rows(size), cols=size // _box_rows(size))


def has_boxes(size: int) -> bool:
    return 4 <= size <= MAX_DIGITS and _box_rows(size) > 0


def _box_rows(size: int) -> int:
    return max((side for side in range(2, int(size**0.5) + 1) if size % side == 0), default=0)


@cache
def units_of(box: Box) -> np.ndarray:
    """(3, n^2) the row, the column and the box of each cell."""
    rows, cols = np.divmod(np.arange(box.num_cells), box.num_digits)
    return np.stack([rows, cols, rows // box.rows * box.rows + cols // box.cols]).astype(np.int64)


def are_consistent(grids: np.ndarray, box: Box) -> np.ndarray:
    """(N,) bool: no digit is twice in a row, a column or a box."""
    num_digits, rows = box.num_digits, np.arange(len(grids))[:, None]
    is_right = np.ones(len(grids), bool)
    for unit in units_of(box):
        counts = np.zeros((len(grids), num_digits, num_digits + 1), np.int32)
        np.add.at(counts, (rows, unit[None], grids), 1)
        is_right &= (counts[:, :, 1:] <= 1).all(axis=(1, 2))
    return is_right


def are_solutions(puzzles: np.ndarray, answers: np.ndarray, box: Box) -> np.ndarray:
    """(N,) bool: full, consistent, and the givens are unchanged."""
    is_full = ((answers >= 1) & (answers <= box.num_digits)).all(axis=1)
    keeps = ((puzzles == 0) | (puzzles == answers)).all(axis=1)
    is_right = is_full & keeps
    is_right[is_right] = are_consistent(answers[is_right], box)
    found: np.ndarray = is_right
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """counts (N,): solutions counted up to the limit, -1 undecided.  solutions (N, n^2): the first found,
    else 0.
    """

    counts: np.ndarray
    solutions: np.ndarray


def solve_grids(puzzles: np.ndarray, box: Box, *, limit: int = 2, max_steps: int = MAX_STEPS) -> Solved:
    """Count up to `limit` solutions of each puzzle (N, n^2). For a single puzzle see `counting`."""
    from sage.hrm_core.tasks.loops import chance_from
    from sage.hrm_core.tasks.sudoku.kernel import solve_many

    puzzles = np.ascontiguousarray(puzzles, np.int64)
    solutions, chance = np.zeros_like(puzzles), chance_from(np.random.default_rng(0))
    counts = solve_many(puzzles, units_of(box), np.array([limit, max_steps]), chance, solutions)
    return Solved(counts=counts, solutions=solutions)


def orbit_keys(solutions: np.ndarray, box: Box) -> np.ndarray:
    """(N,) the same for full grids that differ by a symmetry. Different grids can share a key: that only
    splits coarser.
    """
    from sage.hrm_core.tasks.sudoku import kernel as sudoku_kernel

    keys: np.ndarray = sudoku_kernel.grid_keys(np.ascontiguousarray(solutions, np.int64), box.rows, box.cols)
    return keys


def random_places(num: int, box: Box, rng: np.random.Generator) -> np.ndarray:
    """(num, n^2) where each cell comes from: lines permuted within bands, bands permuted, half of them
    transposed where the box is square."""
    rows = _random_lines(num, box.rows, box.num_digits, rng)  # (N, n)
    cols = _random_lines(num, box.cols, box.num_digits, rng)
    places = rows[:, :, None] * box.num_digits + cols[:, None, :]  # (N, n, n)
    if box.rows == box.cols:
        is_turned = rng.random(num) < 0.5
        places[is_turned] = places[is_turned].transpose(0, 2, 1)
    found: np.ndarray = places.reshape(num, box.num_cells)
    return found


def _random_lines(num: int, per_band: int, num_digits: int, rng: np.random.Generator) -> np.ndarray:
    bands = rng.random((num, num_digits // per_band)).argsort(axis=1)  # (N, bands)
    lines = rng.random((num, num_digits // per_band, per_band)).argsort(axis=2)  # (N, bands, per_band)
    return (bands[:, :, None] * per_band + lines).reshape(num, num_digits)


def random_digits(num: int, box: Box, rng: np.random.Generator) -> np.ndarray:
    """(num, n + 1) what each digit becomes; blank stays blank."""
    digits = rng.random((num, box.num_digits)).argsort(axis=1) + 1
    return np.concatenate([np.zeros((num, 1), digits.dtype), digits], axis=1)
