"""Sudokus in common written forms, read into one line per puzzle: digits, letters from 10 on, '.' for a
blank.

Read: one line, lines of cells, spaces, commas, semicolons or tabs between cells, '.', 0, '*', '_', '?', 'x',
'-' or a space as blanks, drawings in ASCII and box characters, comments after '#', JSON and Python lists, CSV
tables with a column of puzzles, .sdk, .sdm, .ss, and several puzzles in one text.

Invariant: nothing is dropped except what draws, separates or comments; a text that fits no form is returned
as one line, for the reader's error.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from math import isqrt
from typing import Any

from sage.hrm_core.tasks.written import literal_of, puzzle_column

SYMBOLS = "123456789ABCDEFGHIJKLMNOP"
_SIDES = (4, 6, 8, 9, 10, 12, 14, 15, 16, 18, 20, 21, 22, 24, 25)
_BLANKS = str.maketrans("0_?X\u00b7\u2022", "......")
_DRAWN = str.maketrans("", "", "|+!\u00a6=" + "".join(map(chr, range(0x2500, 0x2580))))
_DELIMITERS = re.compile(r"[,;\t]")
_TITLE = re.compile(r"(grid|puzzle|sudoku|board|no\.?|nr\.?)\b[^.*_?]*$", re.IGNORECASE)
_SECTION = re.compile(r"\[\s*[A-Za-z]+\s*\]$")


def puzzles_in(text: str) -> list[str]:
    """The puzzles of a text, at least one; of an empty text the empty puzzle."""
    value = literal_of(text)
    found = _of_lines(text) if value is None else _of_literal(value)
    return [puzzle.translate(_BLANKS) for puzzle in found] or [""]


def _of_lines(text: str) -> list[str]:
    lines = _without_comments(_plain(text).replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    column = puzzle_column(lines, _is_whole)
    if column is not None:
        return [_cells_of_line(cell, "*-") for cell in column]
    return _grouped(_aligned(lines) or _aligned("\n".join(lines).lstrip("\n").split("\n")) or _rows(lines))


def _plain(text: str) -> str:
    """Full-width and other digits as 1 to 9, letters in upper case."""
    return "".join(
        str(unicodedata.decimal(each)) if each.isdecimal() else each for each in text.lstrip("\ufeff")
    ).upper()


def _of_literal(value: Sequence[Any]) -> list[str]:
    """A list of rows, a flat list of cells, a list of lines, or a list of puzzles in one of these forms."""
    if not value:
        return []
    if all(isinstance(each, str) for each in value):
        return puzzles_in("\n".join(value)) if len(value[0]) > 1 else ["".join(map(_cell, value))]
    if all(isinstance(each, (list, tuple)) for each in value):
        if all(isinstance(row, (list, tuple)) or _is_whole(str(row)) for each in value for row in each):
            return [puzzle for each in value for puzzle in _of_literal(each)]
        rows = ["".join(map(_cell, row)) for row in value]
        return _grouped(rows) if len(rows) > 1 else rows
    return ["".join(map(_cell, value))]


def _cell(value: object) -> str:
    """One symbol; what is no cell is returned as it is, for the reader's error."""
    is_whole = isinstance(value, float) and value.is_integer()
    written = "" if value is None else str(int(value) if is_whole else value).strip().upper()  # type: ignore[call-overload]
    if written in ("", "0", ".", "_", "?", "X", "*", "-", "NONE", "NAN"):
        return "."
    number = int(written) if written.isdecimal() and len(written) <= 2 else 0
    return SYMBOLS[number - 1] if 1 <= number <= len(SYMBOLS) else written


def _without_comments(lines: list[str]) -> list[str]:
    """Without '#' comments and titles; of an .sdk file with sections only [Puzzle]."""
    puzzle_lines, is_inside = [], True
    for line in lines:
        stripped = line.strip()
        if _SECTION.match(stripped):
            is_inside = stripped[1:-1].strip() == "PUZZLE"
        elif is_inside and not stripped.startswith(("#", ";")) and not _TITLE.match(stripped):
            puzzle_lines.append(line.partition("#")[0].rstrip() if "#" in line else line)
    return puzzle_lines


def _aligned(lines: list[str]) -> list[str]:
    """Rows of a grid whose blanks are spaces: n lines of at most n characters, digits only; else none."""
    lines = [line.translate(_DRAWN).rstrip() for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    side, symbols = len(lines), set("".join(lines))
    if side not in _SIDES or max(map(len, lines)) > side or not symbols <= {*SYMBOLS[:side], " "}:
        return []
    if not any(" " in line or len(line) < side for line in lines):
        return []
    return [line.ljust(side).replace(" ", ".") for line in lines]


def _rows(lines: list[str]) -> list[str]:
    """Lines of cells without what is drawn between them."""
    written = [line for line in lines if set(line) & {*SYMBOLS, ".", "0", "_", "?"}]
    drawn = {mark for mark in "*-" if not any(mark in line for line in written)}
    blanks = "".join({"*", "-"} - drawn)
    rows = []
    for line in lines:
        is_ruler = not set(line) - set("*-|+=! ") and (
            bool(set(line) & set("|+=!")) or set(line) <= {*drawn, " "}
        )
        cells = "" if is_ruler else _cells_of_line(line, blanks)
        if cells:
            rows.append(cells)
    return rows


def _cells_of_line(line: str, blanks: str) -> str:
    """The cells of one line. blanks: which of '*' and '-' are cells here."""
    line = line.strip().translate(_DRAWN)
    for mark in "*-":
        line = line.replace(mark, "." if mark in blanks else "")
    if _DELIMITERS.search(line):
        cells = [cell.strip().strip("\"'") for cell in _DELIMITERS.split(line)]
        if (
            not cells[-1] and len(cells) - 1 in _SIDES and len(cells) not in (4, 9, 16)
        ):  # a comma ends the line
            cells.pop()
        if len(cells) in _SIDES and max(map(len, cells)) <= 2:
            return "".join(map(_cell, cells))
        line = "".join(cells)
    tokens = line.split()
    if len(tokens) in _SIDES and any(len(token) == 2 for token in tokens) and max(map(len, tokens)) == 2:
        return "".join(map(_cell, tokens))
    return "".join(tokens).translate(_BLANKS).replace('"', "").replace("'", "")


def _is_whole(cells: str) -> bool:
    """Are these all the cells of a puzzle, one character each?"""
    side = isqrt(len(cells))
    return (
        side in _SIDES and side * side == len(cells) and set(cells.upper()) <= {*SYMBOLS[:side], *".0_?X*-"}
    )


def _grouped(rows: list[str]) -> list[str]:
    """Rows of cells as puzzles: each row one, every n rows of n cells one, or all of them one."""
    if len(rows) < 2:
        return rows
    if all(_is_whole(row) for row in rows):
        return rows
    width = len(rows[0])
    if width in _SIDES and {len(row) for row in rows} == {width} and len(rows) % width == 0:
        return ["".join(rows[at : at + width]) for at in range(0, len(rows), width)]
    return ["".join(rows)]
