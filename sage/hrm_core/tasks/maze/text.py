"""Mazes as text: n lines of n cells, '#' wall, ' ' open, 'S' start, 'G' goal, 'o' path.

Invariant: `read` gives the maze to solve, without the marks of a path; `parse` keeps them.
"""

from __future__ import annotations

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.maze.forms import mazes_in
from sage.hrm_core.tasks.maze.grid import solve_mazes
from sage.hrm_core.tasks.maze.symbols import OPEN, PATH, SYMBOLS


def read(text: str, size: int) -> np.ndarray:
    """(size^2,) int32 of one maze in any form that `forms` reads; a marked path is cleared, and a border of
    walls around a maze of `size` removed. InputError: several mazes, lines, width, symbol, start, goal, no
    path."""
    cells = parse(text, size)
    maze: np.ndarray = np.where(cells == PATH, OPEN, cells).astype(np.int32)
    if solve_mazes(maze[None], size).lengths[0] < 0:
        raise InputError("no path leads from S to G: open a wall")
    return maze


def parse(text: str, size: int) -> np.ndarray:
    """`read` with the path's marks, and without a search for a path."""
    found = mazes_in(text)
    if len(found) > 1:
        raise InputError(f"the text has {len(found)} mazes: give one")
    lines = without_border(found[0].split("\n"), size)
    width = max(map(len, lines))
    if len(lines) != size:
        raise InputError(f"the maze has {len(lines)} lines of {width} cells: give {size} lines of {size}")
    for number, line in enumerate(lines, start=1):
        if len(line.rstrip()) > size:
            raise InputError(f"line {number} has {len(line)} cells: give {size}")
    symbols = "".join(line[:size].ljust(size) for line in lines)
    for index, symbol in enumerate(symbols):
        if symbol not in SYMBOLS:
            raise InputError(
                f"line {index // size + 1}, cell {index % size + 1} is {symbol!r}: give one of {SYMBOLS!r}"
                " or '.'"
            )
    for name, symbol in (("start", "S"), ("goal", "G")):
        if symbols.count(symbol) != 1:
            raise InputError(f"the maze has {symbols.count(symbol)} cells {symbol}: give one {name}")
    return np.array([SYMBOLS.index(symbol) + 1 for symbol in symbols], np.int32)


def sides_of(text: str) -> list[int]:
    """Sides that the maze may have, the likeliest first: of the whole, then inside a border of walls."""
    lines = mazes_in(text)[0].split("\n")
    sides = [len(lines)] if {len(line) for line in lines} == {len(lines)} else []
    inner = without_border(lines, len(lines) - 2)
    return sides if inner is lines else [*sides, len(inner)]


def without_border(lines: list[str], size: int) -> list[str]:
    """The lines inside a border of walls, where they are a maze of `size`; else the lines as they are."""
    side = size + 2
    if len(lines) != side or any(len(line) != side for line in lines):
        return lines
    border = lines[0] + lines[-1] + "".join(line[0] + line[-1] for line in lines)
    return [line[1:-1] for line in lines[1:-1]] if set(border) == {"#"} else lines
