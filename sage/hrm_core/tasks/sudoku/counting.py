"""Counts the solutions of one sudoku as plain Python: one puzzle needs neither numba nor a compilation.

Invariant: the count is that of `kernel.solve`, which is faster for many puzzles; bit d of a mask is digit
d + 1. Branch cells are those with fewest digits, and of them those whose units ended most branches: without
these weights half of the hard 9x9 puzzles take more than 3,000 steps, with them one in five.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from sage.hrm_core.tasks.sudoku.grid import Box, units_of

#: Search steps after which a puzzle counts as undecided. None of 400 hard 9x9 puzzles reaches them.
MAX_STEPS = 20_000


def count_solutions(
    puzzle: Sequence[int], box: Box, *, at_most: int = 2, max_steps: int = MAX_STEPS
) -> int | None:
    """Solutions of puzzle (n^2,), 0 blank and 1..n digits, counted up to `at_most`; None after max_steps."""
    search = _Search(puzzle, box)
    if not search.is_consistent:
        return 0
    pending: list[tuple[int, int]] = []  # the branch points of this path: the cell, its digits not yet tried
    found = 0
    cell, options = search.choose()
    for _ in range(max_steps):
        if cell < 0:
            found += 1
            if found == at_most:
                return found
        while not options:  # a dead end, a solution, or a branch point that is done
            if not pending:
                return found
            cell, options = pending.pop()
            search.unplace(cell)
        bit = options & -options
        pending.append((cell, options ^ bit))
        search.place(cell, bit)
        cell, options = search.choose()
    return None


class _Search:
    """A grid that is filled and emptied cell by cell, with the digits that each row, column and box has."""

    def __init__(self, puzzle: Sequence[int], box: Box) -> None:
        self.full = (1 << box.num_digits) - 1
        self.units = _units_of_cells(box)
        self.used = [0] * (3 * box.num_digits)
        self.weights = [0] * len(self.used)
        self.bits = [1 << digit >> 1 for digit in puzzle]
        self.is_consistent = True
        for cell, bit in enumerate(self.bits):
            row, col, square = self.units[cell]
            if bit & (self.used[row] | self.used[col] | self.used[square]):
                self.is_consistent = False
            self._add(cell, bit)
        self.blanks = [cell for cell, bit in enumerate(self.bits) if not bit]

    def place(self, cell: int, bit: int) -> None:
        self.bits[cell] = bit
        self._add(cell, bit)

    def unplace(self, cell: int) -> None:
        bit, self.bits[cell] = self.bits[cell], 0
        for unit in self.units[cell]:
            self.used[unit] ^= bit

    def _add(self, cell: int, bit: int) -> None:
        for unit in self.units[cell]:
            self.used[unit] |= bit

    def choose(self) -> tuple[int, int]:
        """(cell, digits to try): a cell with one digit or none, a digit's only place in a unit, or the cell
        with fewest digits. digits 0: a dead end; cell -1: no blank is left."""
        bits, units, used, full, weights = self.bits, self.units, self.used, self.full, self.weights
        best, best_options, fewest, heaviest = -1, 0, len(bits), -1
        once, twice = used.copy(), [0] * len(used)
        for cell in self.blanks:
            if bits[cell]:
                continue
            row, col, square = units[cell]
            options = full & ~(used[row] | used[col] | used[square])
            if not options & (options - 1):
                if not options:
                    weights[row] += 1
                    weights[col] += 1
                    weights[square] += 1
                return cell, options
            count = options.bit_count()
            if count <= fewest:
                weight = weights[row] + weights[col] + weights[square]
                if count < fewest or weight > heaviest:
                    best, best_options, fewest, heaviest = cell, options, count, weight
            for unit in (row, col, square):
                twice[unit] |= once[unit] & options
                once[unit] |= options
        if best < 0:
            return -1, 0
        return self._only_place(once, twice) or (best, best_options)

    def _only_place(self, once: list[int], twice: list[int]) -> tuple[int, int] | None:
        """The only place of a digit in a unit; no digits where one has no place; None where all have more."""
        for unit, reached in enumerate(once):
            if reached != self.full:
                self.weights[unit] += 1
                return 0, 0
            singles = reached & ~twice[unit] & ~self.used[unit]
            if singles:
                bit = singles & -singles
                for cell in self.blanks:
                    if unit in self.units[cell] and not self.bits[cell]:
                        row, col, square = self.units[cell]
                        if not bit & (self.used[row] | self.used[col] | self.used[square]):
                            return cell, bit
        return None


@cache
def _units_of_cells(box: Box) -> tuple[tuple[int, int, int], ...]:
    """(n^2, 3): the row, the column and the box of each cell, numbered 0..3n - 1."""
    rows, cols, boxes = units_of(box).tolist()
    side = box.num_digits
    return tuple((row, side + col, 2 * side + square) for row, col, square in zip(rows, cols, boxes))
