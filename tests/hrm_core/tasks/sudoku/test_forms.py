"""Every form in which people write sudokus gives the same line of cells."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from sage.errors import InputError
from sage.hrm_core.tasks.maze.forms import mazes_in
from sage.hrm_core.tasks.sudoku.forms import puzzles_in

LINE = "..3.2.6..9..3.5..1..18.64....81.29..7.......8..67.82....26.95..8..2.3..9..5.1.3.."
ROWS = [LINE[at : at + 9] for at in range(0, 81, 9)]
DIGITS = [[0 if cell == "." else int(cell) for cell in row] for row in ROWS]
SOLVED = "483921657967345821251876493548132976729564138136798245372689514814253769695417382"


def _boxed(row: str, bar: str = "|") -> str:
    return f"{bar} " + f" {bar} ".join(" ".join(row[at : at + 3]) for at in (0, 3, 6)) + f" {bar}"


def _drawn(ruler: str, bar: str = "|") -> str:
    bands = ["\n".join(_boxed(row, bar) for row in ROWS[at : at + 3]) for at in (0, 3, 6)]
    return "\n".join([ruler, f"\n{ruler}\n".join(bands), ruler])


FORMS = {
    "one line": LINE,
    "lines": "\n".join(ROWS),
    "CR LF": "\r\n".join(ROWS) + "\r\n",
    "old Mac": "\r".join(ROWS),
    "byte order mark": "\ufeff" + LINE,
    "zeros": LINE.replace(".", "0"),
    "stars": "\n".join(ROWS).replace(".", "*"),
    "underscores": LINE.replace(".", "_"),
    "question marks": LINE.replace(".", "?"),
    "x": LINE.replace(".", "x"),
    "dashes": "\n".join(ROWS).replace(".", "-"),
    "spaces": "\n".join(row.replace(".", " ").rstrip() for row in ROWS),
    "spaces and bars": "\n".join(f"{row[:3]}|{row[3:6]}|{row[6:]}".replace(".", " ") for row in ROWS),
    "full width": LINE.translate({ord(digit): ord(digit) + 0xFEE0 for digit in "123456789"}),
    "spaced": "\n".join(" ".join(row) for row in ROWS),
    "commas": "\n".join(",".join(row) for row in ROWS),
    "commas, empty cells": "\n".join(",".join(row.replace(".", "_")) for row in ROWS).replace("_", ""),
    "semicolons": "\n".join(";".join(row.replace(".", "0")) for row in ROWS),
    "a comma ends each line": "\n".join(",".join(row) + "," for row in ROWS),
    "rows in one line": ",".join(ROWS),
    "JSON": json.dumps(DIGITS),
    "JSON, null": json.dumps([[cell or None for cell in row] for row in DIGITS]),
    "JSON, flat": json.dumps([cell for row in DIGITS for cell in row]),
    "JSON, lines": json.dumps(ROWS),
    "JSON, object": json.dumps({"puzzle": LINE}),
    "Python": repr([tuple(row) for row in DIGITS]),
    "Kaggle": f"quizzes,solutions\n{LINE.replace('.', '0')},{SOLVED}\n",
    "Kaggle without its header": f"{LINE.replace('.', '0')},{SOLVED}",
    "published CSV": f"source,question,answer,rating\nmine,{LINE},{SOLVED},12\n",
    ".sdk": "[Puzzle]\n" + "\n".join(ROWS) + "\n[State]\n" + SOLVED,
    ".sdk, old": "#AAuthor\n#B2024-01-02\n#LEasy\n" + "\n".join(ROWS),
    ".ss": "\n-----------\n".join(
        "\n".join(f"{row[:3]}|{row[3:6]}|{row[6:]}" for row in ROWS[at : at + 3]) for at in (0, 3, 6)
    ),
    "comment above": f"# hard\n{LINE}",
    "comment behind": f"{LINE}  # hard; of 2010",
    "title": "Grid 01\n" + "\n".join(ROWS),
    "drawn": _drawn("+-------+-------+-------+"),
    "drawn double": _drawn("+=======+=======+=======+", "!"),
    "drawn with stars": _drawn("*-----------*"),
    "drawn with lines": _drawn("├───────┼───────┼───────┤", "│"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_read(form: str) -> None:
    assert puzzles_in(FORMS[form]) == [LINE]


@pytest.mark.parametrize(
    "text",
    [
        f"{LINE}\n{SOLVED}",
        "\n".join(ROWS) + "\n\n" + "\n".join(SOLVED[at : at + 9] for at in range(0, 81, 9)),
        "Grid 01\n"
        + "\n".join(ROWS)
        + "\nGrid 02\n"
        + "\n".join(SOLVED[at : at + 9] for at in range(0, 81, 9)),
        json.dumps([LINE, SOLVED]),
        json.dumps([DIGITS, [[int(cell) for cell in SOLVED[at : at + 9]] for at in range(0, 81, 9)]]),
        f"quizzes,solutions\n{LINE},{SOLVED}\n{SOLVED},{SOLVED}\n",
    ],
)
def test_several_puzzles_in_one_text_are_separated(text: str) -> None:
    assert puzzles_in(text) == [LINE, SOLVED]


def test_numbers_above_nine_are_letters() -> None:
    row = "16 . 1 2 3 4 5 6 7 8 9 10 11 12 13 14"
    assert puzzles_in("\n".join([row] * 16)) == ["G.123456789ABCDE" * 16]
    assert puzzles_in(json.dumps([[16, 0, *range(1, 15)]] * 16)) == ["G.123456789ABCDE" * 16]


def test_a_row_of_dashes_among_dashes_is_a_row_of_blanks() -> None:
    assert puzzles_in("1--4\n----\n--1-\n4---") == ["1..4......1.4..."]


@pytest.mark.parametrize("text", ["", "[]", "[[]]", "{}", ",,,", '"', "(1, 2", "#"])
def test_a_text_without_a_puzzle_raises_nothing(text: str) -> None:
    assert len(puzzles_in(text)) == 1


@pytest.mark.parametrize("text", ["[", "[1, 2", '{"puzzle": "12', "[" * 2000])
def test_a_list_that_is_not_valid_is_an_error_with_the_place(text: str) -> None:
    with pytest.raises(InputError, match=r"a list or an object and is not valid JSON: .+: correct it"):
        puzzles_in(text)


@pytest.mark.parametrize("read", [puzzles_in, mazes_in])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 500 + "1" + "]" * 500, "lists nested more than 8 deep"),
        ("[[0x" + "f" * 5000 + ", 1]]", "a number of over 18 digits"),
        ('{"puzzle": [[0x' + "f" * 5000 + "]]}", "a number of over 18 digits"),
    ],
)
def test_lists_that_no_puzzle_has_are_one_line(
    read: Callable[[str], list[str]], text: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read(text)


def test_a_cell_of_many_digits_is_left_to_the_reader_of_cells() -> None:
    assert puzzles_in('[["' + "9" * 5000 + '"]]') == ["9" * 5000]
