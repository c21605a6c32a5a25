"""Sudoku of any box: made fresh at a chosen difficulty, or loaded from the CSV files people publish.

Invariant: training and evaluation share no solution grid under any symmetry; 4x4 has two grids in all, so
there they share no puzzle under any symmetry. Cells: 0 pad (unused), 1 blank, 2.. digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import permutations, product

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.contract import Baseline, Examples, TaskSpec
from sage.hrm_core.tasks.proper import check_proper
from sage.hrm_core.tasks.split import Generated, are_held_out, without_ids
from sage.hrm_core.tasks.sudoku import text as sudoku_text
from sage.hrm_core.tasks.sudoku.counting import count_solutions
from sage.hrm_core.tasks.sudoku.grid import (
    Box,
    are_consistent,
    are_solutions,
    box_of_size,
    orbit_keys,
    random_digits,
    random_places,
    units_of,
)
from sage.hrm_core.tasks.sudoku.orbits import puzzle_orbit_keys

BLANK = 1
#: What `givens` is where nothing is said: puzzles that a small model learns in minutes.
USUAL_GIVENS = {4: (5, 7), 6: (10, 15), 9: (36, 50), 16: (130, 170)}
MAX_NEARLY_SOLVED_BLANKS = 5
#: Steps the generator lets one search take before it tries another way.
MAX_DIG_STEPS = 20_000
#: Times a grid is dug again for a puzzle that singles do not get far with; about one in four of 9x9 is one.
MAX_DIGS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SudokuConfig:
    """size: digits, and rows and columns.  box: rows x cols of a box; None: the usual one.  givens: fewest
    and most; None: the usual ones of the size.  beyond_singles: the share of training's puzzles that people
    call hard: as few givens as may be, and more than half of the grid still blank where cells with one digit
    left, and digits with one place left in a unit, run dry.
    nearly_solved: of the rest, the share with 1 to 5 blanks.  train, dev: CSV files to read instead.
    fresh: beside the puzzles of `train`, the share of training rows that are made by the other options."""

    size: int = 9
    box: tuple[int, int] | None = None
    givens: tuple[int, int] | None = None
    nearly_solved: float = 0.0
    beyond_singles: float = 0.0
    fresh: float = 0.0
    train: str | None = None
    dev: str | None = None

    def __post_init__(self) -> None:
        box, (low, high) = self.geometry, self.givens_range
        if box.num_digits != self.size:
            raise InputError(
                f"box is {box.rows}x{box.cols}, size is {self.size}: give a box with {self.size} cells"
            )
        fewest = fewest_givens(box)
        if not fewest <= low <= high < box.num_cells:
            raise InputError(
                f"givens is {low} to {high}: give a range within {fewest} to {box.num_cells - 1}"
            )
        for name in ("nearly_solved", "beyond_singles", "fresh"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}: give a share of 0 to 1")

    @property
    def geometry(self) -> Box:
        return box_of_size(self.size) if self.box is None else Box(rows=self.box[0], cols=self.box[1])

    @property
    def givens_range(self) -> tuple[int, int]:
        if self.givens is not None:
            low, high = self.givens
            return int(low), int(high)
        cells = self.geometry.num_cells
        return USUAL_GIVENS.get(self.size, (cells // 2, cells * 2 // 3))


class SudokuRules:
    """What holds for every sudoku of one box, generated or loaded."""

    def __init__(self, box: Box, *, name: str = "sudoku") -> None:
        self.box = box
        self._spec = TaskSpec(
            name=name,
            vocab_size=BLANK + 1 + box.num_digits,
            seq_len=box.num_cells,
            grid=(box.num_digits, box.num_digits),
            box=(box.rows, box.cols),
            alike_from=BLANK + 1,
            blank=BLANK,
            is_unique=True,
        )

    @property
    def spec(self) -> TaskSpec:
        return self._spec

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        return are_solutions(inputs.astype(np.int64) - BLANK, answers.astype(np.int64) - BLANK, self.box)

    def may_extend(self, inputs: np.ndarray, partial: np.ndarray) -> np.ndarray:
        """(N,) bool: the givens are kept, and no digit is twice in a row, a column or a box."""
        grids = partial.astype(np.int64) - BLANK
        is_right = ((grids >= 0) & (grids <= self.box.num_digits)).all(axis=1)
        is_right &= ((inputs == BLANK) | (inputs == partial)).all(axis=1)
        is_right[is_right] = are_consistent(grids[is_right], self.box)
        may: np.ndarray = is_right
        return may

    def as_inputs(self, inputs: np.ndarray, partial: np.ndarray) -> np.ndarray:
        """The choices become givens."""
        return partial.astype(np.int32)

    def complete(self, inputs: np.ndarray, partial: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """The givens and the choices are kept; answers fill the rest."""
        return np.where(partial == BLANK, answers, partial).astype(np.int32)

    def baseline(self, inputs: np.ndarray) -> Baseline:
        """In the order of the cells, each blank gets the lowest digit that its row, column and box still
        allow, or 1.
        """
        grids, units, digits = (
            inputs.astype(np.int64) - BLANK,
            units_of(self.box),
            np.arange(1, self.box.num_digits + 1),
        )
        peers = (units[:, :, None] == units[:, None, :]).any(axis=0)  # (n^2, n^2)
        for cell in range(self.box.num_cells):
            taken = (grids[:, peers[cell], None] == digits).any(axis=1)  # (N, n)
            grids[:, cell] = np.where(grids[:, cell] == 0, taken.argmin(axis=1) + 1, grids[:, cell])
        return Baseline(name="the lowest digit still allowed", answers=(grids + BLANK).astype(np.int32))

    def count_solutions(self, inputs: np.ndarray, *, at_most: int = 2) -> int | None:
        """Of inputs (L,), up to `at_most`; None where counting.MAX_STEPS search steps do not decide it."""
        grid = (np.asarray(inputs, np.int64) - BLANK).tolist()
        if not all(0 <= digit <= self.box.num_digits for digit in grid):
            return 0
        return count_solutions(grid, self.box, at_most=at_most)

    def orbit_keys(self, inputs: np.ndarray) -> np.ndarray:
        """(N,) uint64, equal for a puzzle and its images under `transform`."""
        return puzzle_orbit_keys(inputs.astype(np.int64) - BLANK, self.box)

    def encode(self, text: str) -> np.ndarray:
        """InputError also where the puzzle has no solution, or more than one."""
        cells: np.ndarray = (sudoku_text.read(text, self.box) + BLANK).astype(np.int32)
        check_proper(self, cells)
        return cells

    def decode(self, cells: np.ndarray) -> str:
        return sudoku_text.write(np.asarray(cells) - BLANK)

    def render(self, cells: np.ndarray) -> str:
        return sudoku_text.draw(np.asarray(cells) - BLANK, self.box)

    def transform(self, examples: Examples, rng: np.random.Generator) -> Examples:
        """Digits, lines within bands, bands and, where the box is square, rows against columns."""
        places = random_places(len(examples), self.box, rng)
        digits = random_digits(len(examples), self.box, rng)

        def moved(cells: np.ndarray) -> np.ndarray:
            grids = np.take_along_axis(cells - BLANK, places, axis=1)
            return (np.take_along_axis(digits, grids, axis=1) + BLANK).astype(np.int32)

        return Examples(
            inputs=moved(examples.inputs), labels=moved(examples.labels), puzzle_ids=examples.puzzle_ids
        )


class SudokuTask(SudokuRules, Generated):
    """Fresh puzzles with one solution."""

    def __init__(self, config: SudokuConfig | None = None) -> None:
        self.config = config or SudokuConfig()
        SudokuRules.__init__(self, self.config.geometry)
        Generated.__init__(self)

    def draw(self, num: int, rng: np.random.Generator, *, is_held_out: bool) -> Examples:
        """Of `num` grids those of the right side, less those that would not go down to few enough givens."""
        from sage.hrm_core.tasks.loops import chance_from
        from sage.hrm_core.tasks.sudoku import kernel as sudoku_kernel

        box, by_puzzle = self.box, self.box.num_digits == 4
        grids = np.zeros((num, box.num_cells), np.int64)
        chance, units = chance_from(rng), units_of(box)
        sudoku_kernel.fill_grids(grids, units, np.array([1, MAX_DIG_STEPS]), chance)
        if not by_puzzle:
            grids = grids[are_held_out(orbit_keys(grids, box)) == is_held_out]
        puzzles, goals = np.zeros_like(grids), self._goals(len(grids), rng, is_held_out=is_held_out)
        left = sudoku_kernel.dig_many(grids, units, goals, np.array([2, MAX_DIG_STEPS]), chance, puzzles)
        is_fit = left <= np.maximum(self.config.givens_range[1], goals)
        if self.config.beyond_singles and not is_held_out:
            is_hard = rng.random(len(grids)) < self.config.beyond_singles
            is_fit[is_hard] = self._dig_hard(grids, is_hard, chance, puzzles)
        puzzles, grids = puzzles[is_fit], grids[is_fit]
        if by_puzzle:
            is_mine = (
                are_held_out(sudoku_kernel.puzzle_keys(puzzles, grids, _all_places(box), box.num_digits))
                == is_held_out
            )
            puzzles, grids = puzzles[is_mine], grids[is_mine]
        return without_ids(puzzles + BLANK, grids + BLANK)

    def are_held_out(self, inputs: np.ndarray, solutions: np.ndarray) -> np.ndarray:
        """(N,) bool: whether puzzles (N, L) with these solutions are on the side of `held_out`, made by it or
        not.
        """
        from sage.hrm_core.tasks.sudoku import kernel as sudoku_kernel

        box, grids = self.box, solutions.astype(np.int64) - BLANK
        if box.num_digits != 4:
            return are_held_out(orbit_keys(grids, box))
        puzzles = inputs.astype(np.int64) - BLANK
        return are_held_out(sudoku_kernel.puzzle_keys(puzzles, grids, _all_places(box), box.num_digits))

    def _dig_hard(
        self, grids: np.ndarray, is_hard: np.ndarray, chance: np.ndarray, puzzles: np.ndarray
    ) -> np.ndarray:
        """Dig those rows of `puzzles` again until singles do not get far with them; (M,) whether it came to
        that.
        """
        from sage.hrm_core.tasks.sudoku import kernel as sudoku_kernel
        from sage.hrm_core.tasks.sudoku.singles import left_by_singles

        units, rows = units_of(self.box), np.flatnonzero(is_hard)
        for _ in range(MAX_DIGS):
            rows = rows[left_by_singles(puzzles[rows], units) <= self.box.num_cells // 2]
            dug, goals = np.zeros_like(grids[rows]), np.full(len(rows), fewest_givens(self.box))
            sudoku_kernel.dig_many(grids[rows], units, goals, np.array([2, MAX_DIG_STEPS]), chance, dug)
            puzzles[rows] = dug
        is_dug: np.ndarray = left_by_singles(puzzles[is_hard], units) > self.box.num_cells // 2
        return is_dug

    def _goals(self, num: int, rng: np.random.Generator, *, is_held_out: bool) -> np.ndarray:
        """(num,) givens to dig down to. Evaluation is on the stated range alone."""
        low, high = self.config.givens_range
        goals = rng.integers(low, high, size=num, endpoint=True)
        if is_held_out or not self.config.nearly_solved:
            return goals
        nearly = self.box.num_cells - rng.integers(1, MAX_NEARLY_SOLVED_BLANKS, size=num, endpoint=True)
        return np.where(rng.random(num) < self.config.nearly_solved, nearly, goals)


def fewest_givens(box: Box) -> int:
    """Below which no puzzle has one solution."""
    return sudoku_text.FEWEST_GIVENS.get(box, box.num_digits - 1)


@cache
def _all_places(box: Box) -> np.ndarray:
    """(G, n^2) every symmetry of the places: 128 for 4x4, the one size that needs them all."""
    num_digits = box.num_digits
    rows = np.array(_all_lines(box.rows, num_digits))
    cols = np.array(_all_lines(box.cols, num_digits))
    places = (rows[:, None, :, None] * num_digits + cols[None, :, None, :]).reshape(
        -1, num_digits, num_digits
    )
    if box.rows == box.cols:
        places = np.concatenate([places, places.transpose(0, 2, 1)])
    found: np.ndarray = places.reshape(len(places), box.num_cells)
    return found


def _all_lines(per_band: int, num_digits: int) -> list[list[int]]:
    bands, within = range(num_digits // per_band), list(permutations(range(per_band)))
    return [
        [band * per_band + line for band, lines in zip(order, each) for line in lines]
        for order in permutations(bands)
        for each in product(within, repeat=len(bands))
    ]
