"""Sudoku's search on bit masks, for any box. See `grid.py` for the geometry.

Invariant: a grid is (n^2,) int64, 0 blank, 1..n digits; bit d of a mask is digit d + 1.
units (3, n^2): the row, the column and the box of each cell. used (3, n): the digits each unit has.
"""

# mypy: no-warn-return-any
# what an array holds is known to numba, not to mypy
from __future__ import annotations

import numpy as np

from sage.hrm_core.tasks.loops import draw, inner, loop, shuffled

PRIME = 2147483647


@inner
def num_bits(mask: int) -> int:
    count = 0
    while mask:
        mask &= mask - 1
        count += 1
    return count


@inner
def copy_into(target: np.ndarray, source: np.ndarray) -> None:
    """The first cells of `target`. A slice would do, but takes numba seconds to compile."""
    for index in range(len(source)):
        target[index] = source[index]


@inner
def digits_used(grid: np.ndarray, units: np.ndarray, used: np.ndarray) -> bool:
    """Add to `used`; False if a digit is twice in a unit."""
    for cell in range(len(grid)):
        if grid[cell]:
            bit = 1 << (grid[cell] - 1)
            for kind in range(3):
                if used[kind, units[kind, cell]] & bit:
                    return False
                used[kind, units[kind, cell]] |= bit
    return True


@inner
def choose(
    grid: np.ndarray, units: np.ndarray, used: np.ndarray, once: np.ndarray, twice: np.ndarray
) -> tuple[int, int]:
    """(cell, options): the blank cell with fewest digits, or the only place of a digit. options 0: a dead
    end. cell -1: no blank is left."""
    num_digits = used.shape[1]
    full = (1 << num_digits) - 1
    best, best_options, fewest = -1, 0, num_digits + 1
    for kind in range(3):
        for unit in range(num_digits):
            once[kind, unit], twice[kind, unit] = used[kind, unit], 0
    for cell in range(len(grid)):
        if grid[cell]:
            continue
        row, column, box = units[0, cell], units[1, cell], units[2, cell]
        options = full & ~(used[0, row] | used[1, column] | used[2, box])
        count = num_bits(options)
        if count < fewest:
            best, best_options, fewest = cell, options, count
            if count < 2:
                return best, best_options
        twice[0, row] |= once[0, row] & options
        twice[1, column] |= once[1, column] & options
        twice[2, box] |= once[2, box] & options
        once[0, row] |= options
        once[1, column] |= options
        once[2, box] |= options
    if best >= 0:
        cell, options = only_place(grid, units, used, once, twice)
        if options >= 0:
            return cell, options
    return best, best_options


@inner
def only_place(
    grid: np.ndarray, units: np.ndarray, used: np.ndarray, once: np.ndarray, twice: np.ndarray
) -> tuple[int, int]:
    """(cell, options): a digit with one place left in a unit; options 0 where a digit has none, -1 where all
    have more.
    """
    num_digits = used.shape[1]
    for kind in range(3):
        for unit in range(num_digits):
            if once[kind, unit] != (1 << num_digits) - 1:
                return 0, 0
            single = once[kind, unit] & ~twice[kind, unit] & ~used[kind, unit]
            if not single:
                continue
            single &= -single
            for cell in range(len(grid)):
                if not grid[cell] and units[kind, cell] == unit:
                    taken = used[0, units[0, cell]] | used[1, units[1, cell]] | used[2, units[2, cell]]
                    if single & ~taken:
                        return cell, single
    return 0, -1


@inner
def pick(options: int, chance: np.ndarray) -> int:
    """One bit of `options`, any."""
    for _ in range(draw(chance, num_bits(options))):
        options &= options - 1
    return options & -options


@inner
def place(grid: np.ndarray, units: np.ndarray, used: np.ndarray, cell: int, bit: int) -> None:
    digit = 1
    while bit >> digit:
        digit += 1
    grid[cell] = digit
    for kind in range(3):
        used[kind, units[kind, cell]] |= bit


@inner
def unplace(grid: np.ndarray, units: np.ndarray, used: np.ndarray, cell: int) -> None:
    bit = 1 << (grid[cell] - 1)
    grid[cell] = 0
    for kind in range(3):
        used[kind, units[kind, cell]] &= ~bit


@inner
def solve(
    puzzle: np.ndarray, units: np.ndarray, effort: np.ndarray, chance: np.ndarray, solution: np.ndarray
) -> int:
    """How many solutions; the first is written to `solution`. -1: not decided. effort (2,): solutions to
    count up to, steps.
    """
    size = len(puzzle)
    num_digits = units[0, -1] + 1
    used = np.zeros((3, num_digits), np.int64)
    once, twice = np.zeros((3, num_digits), np.int64), np.zeros((3, num_digits), np.int64)
    grid = np.zeros(size, np.int64)
    copy_into(grid, puzzle)
    if not digits_used(grid, units, used):
        return 0
    cells, rest = np.zeros(size + 1, np.int64), np.zeros(size + 1, np.int64)
    depth, found, steps = 0, 0, 0
    is_going_down = True
    while True:
        if is_going_down:
            steps += 1
            if steps > effort[1]:
                return -1
            cell, options = choose(grid, units, used, once, twice)
            if cell < 0:
                found += 1
                if found == 1:
                    copy_into(solution, grid)
                if found >= effort[0]:
                    return found
            cells[depth], rest[depth] = cell, options
        if rest[depth]:
            bit = pick(rest[depth], chance)
            rest[depth] &= ~bit
            place(grid, units, used, cells[depth], bit)
            depth += 1
            is_going_down = True
        else:
            if depth == 0:
                return found
            depth -= 1
            unplace(grid, units, used, cells[depth])
            is_going_down = False


@loop
def solve_many(
    puzzles: np.ndarray, units: np.ndarray, effort: np.ndarray, chance: np.ndarray, solutions: np.ndarray
) -> np.ndarray:
    """(N,) the counts of `solve`; solutions (N, n^2) is filled."""
    counts = np.zeros(len(puzzles), np.int64)
    for row in range(len(puzzles)):
        counts[row] = solve(puzzles[row], units, effort, chance, solutions[row])
    return counts


@loop
def fill_grids(grids: np.ndarray, units: np.ndarray, effort: np.ndarray, chance: np.ndarray) -> None:
    """Random full grids (N, n^2): the first row drawn, the rest searched in random order, again where that
    takes long.
    """
    num_digits = units[0, -1] + 1
    first, blank = np.zeros(num_digits, np.int64), np.zeros(grids.shape[1], np.int64)
    for row in range(len(grids)):
        found = 0
        while found < 1:
            shuffled(chance, first)
            for index in range(num_digits):
                blank[index] = first[index] + 1
            found = solve(blank, units, effort, chance, grids[row])


@inner
def dig(
    grid: np.ndarray, units: np.ndarray, goal: int, effort: np.ndarray, chance: np.ndarray, puzzle: np.ndarray
) -> int:
    """Take cells away in random order while the solution stays the only one, down to `goal` givens; how many
    are left.
    """
    order, spare = np.zeros(len(grid), np.int64), np.zeros(len(grid), np.int64)
    shuffled(chance, order)
    copy_into(puzzle, grid)
    left, start = len(grid), 0
    stride = max(1, (len(grid) - goal) // 2)
    while left > goal and start < len(order):
        stop = min(start + min(stride, left - goal), len(order))
        for index in range(start, stop):
            puzzle[order[index]] = 0
        if solve(puzzle, units, effort, chance, spare) == 1:
            left -= stop - start
            start = stop
            continue
        for index in range(start, stop):
            puzzle[order[index]] = grid[order[index]]
        start = stop if stride == 1 else start
        stride = max(1, stride // 2)
    return left


@loop
def dig_many(
    grids: np.ndarray,
    units: np.ndarray,
    goals: np.ndarray,
    effort: np.ndarray,
    chance: np.ndarray,
    puzzles: np.ndarray,
) -> np.ndarray:
    """(N,) the givens left in each of `puzzles`, which are filled."""
    left = np.zeros(len(grids), np.int64)
    for row in range(len(grids)):
        left[row] = dig(grids[row], units, goals[row], effort, chance, puzzles[row])
    return left


@inner
def line_key(grid: np.ndarray, num_digits: int, per_band: int, strides: np.ndarray, step: np.ndarray) -> int:
    """The cycle types of the digit permutations from line to line, in any order: independent of digits and
    places. strides (2,): from a line to the next, from a cell to the next."""
    key, between, along = 0, strides[0], strides[1]
    for band in range(0, num_digits, per_band):
        for other in range(band, num_digits, per_band):
            pairs = 17 if band == other else 0
            for first in range(band, band + per_band):
                for second in range(max(first + 1, other), other + per_band):
                    for at in range(num_digits):
                        digit = grid[first * between + at * along]
                        step[digit - 1] = grid[second * between + at * along] - 1
                    pairs += cycle_type(step, num_digits)
            key += scramble(pairs % PRIME)
    return key % PRIME


@inner
def cycle_type(step: np.ndarray, num_digits: int) -> int:
    """A number for the lengths of a permutation and its inverse, the same whichever way round."""
    seen, total = 0, 0
    for start in range(num_digits):
        if seen >> start & 1:
            continue
        length, at = 0, start
        while not seen >> at & 1:
            seen |= 1 << at
            at = step[at]
            length += 1
        total += scramble(length)
    return scramble(total % PRIME)


@inner
def scramble(number: int) -> int:
    """0..PRIME - 1, a hash."""
    number = (number * 1103515245 + 12345) % PRIME
    number = number * (number ^ 0x2545F491) % PRIME
    return (number * 48271 + 11) % PRIME


@loop
def grid_keys(grids: np.ndarray, box_rows: int, box_cols: int) -> np.ndarray:
    """(N,) equal for grids that a symmetry takes into each other, nearly always different otherwise."""
    num_digits = box_rows * box_cols
    step, keys = np.zeros(num_digits, np.int64), np.zeros(len(grids), np.int64)
    strides = np.zeros((2, 2), np.int64)
    strides[0, 0], strides[0, 1], strides[1, 0], strides[1, 1] = num_digits, 1, 1, num_digits
    for row in range(len(grids)):
        rows = scramble(line_key(grids[row], num_digits, box_rows, strides[0], step))
        columns = scramble(line_key(grids[row], num_digits, box_cols, strides[1], step))
        keys[row] = rows + (columns if box_rows == box_cols else 3 * columns)
    return keys


@loop
def puzzle_keys(
    puzzles: np.ndarray, solutions: np.ndarray, places: np.ndarray, num_digits: int
) -> np.ndarray:
    """(N,) the least of the numbers that a puzzle's symmetric forms give, digits named by the first row.
    places (G, n^2).
    """
    keys, names = np.zeros(len(puzzles), np.int64), np.zeros(num_digits + 1, np.int64)
    for row in range(len(puzzles)):
        least = -1
        for form in range(len(places)):
            for index in range(num_digits):
                names[solutions[row, places[form, index]]] = index + 1
            number = 0
            for index in range(places.shape[1]):
                number = number * (num_digits + 1) + names[puzzles[row, places[form, index]]]
            if least < 0 or number < least:
                least = number
        keys[row] = least
    return keys
