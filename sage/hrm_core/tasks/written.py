"""Puzzles inside JSON or Python lists, and inside CSV tables with a column of puzzles.

Invariant: a text in neither form gives None, and the caller then reads it as lines; a text that begins as a
list and is none is an error, which names the place.
"""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from sage.errors import InputError
from sage.user_file import describe_json_error

#: Longer literals are not parsed: a list of 10,000 puzzles of 900 cells is below it.
_MAX_LITERAL_CHARACTERS = 16_000_000
#: Lists in lists, and numbers, that are read.
_MAX_DEPTH, _LARGE = 8, 10**18
#: The first line of an .sdk file.
_SECTION = re.compile(r"\[\s*[A-Za-z]+\s*\]\s*(\n|$)")
_COLUMNS = (
    "puzzle",
    "puzzles",
    "question",
    "questions",
    "quiz",
    "quizzes",
    "sudoku",
    "maze",
    "unsolved",
    "input",
)


def literal_of(text: str) -> Any | None:
    """The list in a JSON or Python literal, or None. `{"puzzle": ...}` gives the value of the known key.
    InputError for a text that begins as a list or an object and is not a valid one.
    """
    stripped = text.strip()
    if stripped[:1] not in ("[", "{", "(") or len(stripped) > _MAX_LITERAL_CHARACTERS:
        return None
    problem = ""
    for parse in (json.loads, ast.literal_eval):
        try:
            value = parse(stripped)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError) as error:
            problem = problem or describe_json_error(error)
            continue
        _need_plain(value)
        if isinstance(value, dict):
            value = next((value[key] for key in _COLUMNS if key in value), None)
            value = [value] if isinstance(value, str) else value
        return value if isinstance(value, (list, tuple)) and value else None
    if stripped[0] != "(" and not _SECTION.match(stripped):
        raise InputError(
            f"the puzzle begins as a list or an object and is not valid JSON: {problem}: correct it"
        )
    return None


def _need_plain(value: Any) -> None:
    """InputError for lists that no puzzle has: too deep for readers that call themselves for each list, or
    with numbers that are too large for Python to write.
    """
    level, depth = [value], 0
    while level:
        if any(isinstance(each, int) and abs(each) >= _LARGE for each in level):
            raise InputError("the puzzle is a list with a number of over 18 digits: give its cells")
        if depth > _MAX_DEPTH:
            raise InputError(f"the puzzle has lists nested more than {_MAX_DEPTH} deep: give rows of cells")
        level = [item for each in level for item in _items(each)]
        depth += 1


def _items(value: Any) -> Sequence[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, (list, tuple)) else ()


def puzzle_column(lines: Sequence[str], is_puzzle: Callable[[str], bool]) -> list[str] | None:
    """Column of puzzles of a CSV table, by its header (Kaggle: quizzes,solutions), or the first that holds
    puzzles.
    """
    filled = [line for line in lines if line.strip()]
    if not filled or "," not in filled[0]:
        return None
    try:
        rows = list(csv.reader(filled))
    except csv.Error:
        return None
    header = [name.strip().lower() for name in rows[0]]
    column = next((header.index(name) for name in _COLUMNS if name in header), None)
    if column is not None:
        return [row[column] for row in rows[1:] if len(row) > column]
    column = next((index for index, cell in enumerate(rows[0]) if is_puzzle(cell)), None)
    if column is None:
        return None
    return [row[column] if len(row) > column else "" for row in rows]
