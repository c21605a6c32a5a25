"""Sudokus as text: the error for each kind of wrong puzzle."""

from __future__ import annotations

import pytest

from sage.errors import InputError
from sage.hrm_core.tasks.sudoku.grid import box_of_size
from sage.hrm_core.tasks.sudoku.task import SudokuTask
from sage.hrm_core.tasks.sudoku.text import read

SEVENTEEN = "000000010400000000020000000000050407008000300001090000300400200050100000000806000"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "0 cells"),
        (SEVENTEEN[:-1], "80 cells"),
        ("&" + SEVENTEEN[1:], "row 1, column 1 is '&'"),
        ("11" + "." * 79, "is twice in row 1"),
        ("12345678" + "." * 73, "8 givens"),
        (SEVENTEEN[:-4] + "0" * 4, "16 givens"),
        (f"{SEVENTEEN}\n{SEVENTEEN}", "the text has 2 puzzles: give one"),
    ],
)
def test_a_wrong_puzzle_raises_with_the_reason(text: str, error: str) -> None:
    with pytest.raises(InputError, match=error):
        read(text, box_of_size(9))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("7" + SEVENTEEN[1:], "the puzzle has no solution: check the givens"),
        (
            "123456789" + "456789123" + "." * 63,
            r"the puzzle has more than one solution \(at least 2; 18 givens\): add givens",
        ),
    ],
)
def test_a_puzzle_without_exactly_one_solution_is_not_encoded(text: str, error: str) -> None:
    with pytest.raises(InputError, match=error):
        SudokuTask().encode(text)
