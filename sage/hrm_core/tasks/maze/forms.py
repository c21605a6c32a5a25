"""Mazes in common written forms, read into n lines of n cells: '#' wall, ' ' open, 'S' start, 'G' goal, 'o'
path.

Read: lines of cells, one line of n * n cells (as published), '.', 0, '_' or a no-break space for open, 1 or a
full block for a wall, 'E' for the goal, lower case, a space or tab between cells, two characters a cell (as
`sage solve` prints), indented lines, blank lines between rows, JSON and Python lists, CSV tables with a
column of mazes, and several mazes in one text.

Invariant: cells are never guessed: what fits no square is returned as it is, for the reader's error.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, isqrt, sqrt
from typing import Any

from sage.hrm_core.tasks.maze.symbols import SYMBOLS
from sage.hrm_core.tasks.written import literal_of, puzzle_column

_WRITTEN = str.maketrans(
    {
        "\u2588": "#",
        "\u00a0": " ",
        ".": " ",
        "_": " ",
        "\u00b7": " ",
        "s": "S",
        "g": "G",
        "e": "E",
        "O": "o",
        "\ufeff": "",
    }
)
_PAIRS = {"##", "  ", "S ", "G ", "o "}
_SMALLEST_LINE = 16


def mazes_in(text: str) -> list[str]:
    """The mazes of a text, at least one."""
    value = literal_of(text)
    if value is not None:
        return _of_literal(value) or [""]
    lines = text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    column = puzzle_column(lines, _is_whole)
    if column is not None:
        return [_squared([cell]) for cell in column] or [""]
    lines = _plain(lines)
    filled = [line for line in lines if line.strip()]
    if len(filled) > 1 and all(map(_is_whole, filled)):
        return [_squared([line]) for line in filled]
    return [_squared(block) for block in _blocks(lines)] or [""]


def _of_literal(value: Sequence[Any]) -> list[str]:
    """A list of lines, of rows of cells, of mazes in one of these forms."""
    if all(isinstance(each, str) for each in value):
        return mazes_in("\n".join(value))
    rows = [row for row in value if isinstance(row, (list, tuple)) and row]
    if len(rows) < len(value):
        return [str(value)]
    if all(isinstance(cell, (list, tuple)) or len(str(cell)) > 1 for row in rows for cell in row):
        return [maze for row in rows for maze in _of_literal(row)]
    return [_squared(_plain(["".join(map(str, row)) for row in rows]))]


def _plain(lines: list[str]) -> list[str]:
    """In the symbols '# SGo'; tabs and commas between cells are removed."""
    lines = [line.replace("\t", "").replace(",", "") for line in lines]
    plain = [line.translate(_WRITTEN) for line in lines]
    symbols = set("".join(plain))
    if "#" not in symbols and symbols & {"0", "1"}:
        plain = [line.replace("1", "#").replace("0", " ") for line in plain]
    if "G" not in symbols and "E" in symbols:
        plain = [line.replace("E", "G") for line in plain]
    return plain


def _blocks(lines: list[str]) -> list[list[str]]:
    """Several mazes between blank lines where each block has its own S and G, else one.

    A line of open cells as long as the block's first line is a row of the maze, not a blank line.
    """
    blocks: list[list[str]] = [[]]
    for line in lines:
        if line.strip() or (blocks[-1] and line and len(line) == len(blocks[-1][0])):
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    blocks = [block for block in blocks if block]
    if len(blocks) > 1 and all({"S", "G"} <= set("".join(block)) for block in blocks):
        return blocks
    return [lines]


def _squared(lines: list[str]) -> str:
    """n lines of n cells where the lines are a square in one of the forms; else the lines themselves."""
    lines = _plain(lines)
    filled = [line for line in lines if line.strip()]
    if len(filled) == 1 and len(filled[0]) >= _SMALLEST_LINE:
        return _folded(filled[0])
    rows = _trimmed(lines)
    if len(filled) > 2 and not "".join(rows[1::2]).strip():  # a blank line after every row
        rows = rows[::2]
    for read in (_padded, _spaced, _doubled, _dedented):
        square = read(rows)
        if len(square) > 1:
            return "\n".join(square)
    return "\n".join(_trimmed(lines))


def _folded(line: str) -> str:
    """One line of n * n cells as n lines; blanks that an editor removed from its end are put back."""
    side = ceil(sqrt(len(line)))
    if side * side - len(line) >= side:
        return line
    cells = line.ljust(side * side)
    return "\n".join(cells[at : at + side] for at in range(0, side * side, side))


def _trimmed(lines: list[str]) -> list[str]:
    """Without blank lines before and after, unless the lines have them to be a square."""
    for whole in (lines, lines[:-1]):  # split at a final line break
        if whole and {len(line) for line in whole} == {len(whole)}:
            return whole
    lines = list(lines)
    width = max((len(line.rstrip()) for line in lines), default=0)
    while lines and len(lines) != width and not lines[-1].strip():
        lines.pop()
    while lines and len(lines) > width and not lines[0].strip():
        lines.pop(0)
    return lines


def _padded(rows: list[str]) -> list[str]:
    """Rows whose blanks at the end are missing or are too many."""
    side = len(rows)
    return [] if any(len(row.rstrip()) > side for row in rows) else [row[:side].ljust(side) for row in rows]


def _spaced(rows: list[str]) -> list[str]:
    """Every second character, where all the others are blank."""
    width = 2 * len(rows) - 1
    rows = [row.rstrip().ljust(width) for row in rows]
    return [] if any(len(row) > width or row[1::2].strip() for row in rows) else [row[::2] for row in rows]


def _doubled(rows: list[str]) -> list[str]:
    """Two characters a cell: '##', '  ', and 'S ', 'G ', 'o '."""
    width = 2 * len(rows)
    rows = [row.rstrip().ljust(width) for row in rows]
    pairs = [[row[at : at + 2] for at in range(0, len(row), 2)] for row in rows]
    if any(len(row) > width for row in rows) or not {pair for row in pairs for pair in row} <= _PAIRS:
        return []
    return ["".join(pair[0] for pair in row) for row in pairs]


def _dedented(rows: list[str]) -> list[str]:
    """Without the blank columns on the left of the square."""
    side = len(rows)
    surplus = max((len(row.rstrip()) for row in rows), default=0) - side
    return (
        []
        if any(row[:surplus].strip() for row in rows)
        else [row[surplus:].rstrip().ljust(side) for row in rows]
    )


def _is_whole(line: str) -> bool:
    """Is this line all the cells of one maze?"""
    plain = _plain([line])[0]
    return (
        len(plain) >= _SMALLEST_LINE
        and isqrt(len(plain)) ** 2 == len(plain)
        and set(plain) <= set(SYMBOLS)
        and plain.count("S") == plain.count("G") == 1
    )
