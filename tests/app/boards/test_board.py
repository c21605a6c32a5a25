"""How a task's cells are drawn."""

from __future__ import annotations

import pytest

from sage.app.boards.board import board_of, board_of_shape
from sage.hrm_core.tasks.catalogue import make_task


@pytest.mark.parametrize(
    ("task", "options", "kind", "rows", "unknown"),
    [
        ("sudoku", {"size": 4}, "sudoku", 4, ""),
        ("sudoku", {"size": 9}, "sudoku", 9, ""),
        ("maze", {"size": 10, "difficulty": "easy"}, "maze", 10, " "),
        ("hanoi", {}, "cells", None, None),
    ],
)
def test_every_task_has_a_board(
    task: str, options: dict[str, object], kind: str, rows: int | None, unknown: str | None
) -> None:
    made = make_task(task, **options)
    board = board_of(made)
    assert (board.kind, len(board.symbols)) == (kind, made.spec.vocab_size)
    assert board.rows * board.cols >= made.spec.seq_len
    if rows is not None:
        assert (board.rows, board.cols) == (rows, rows)
    assert (board.symbols[board.unknown] if board.unknown >= 0 else None) == unknown


def test_a_folder_s_board_is_known_by_its_shape() -> None:
    assert board_of_shape(81, 11, (9, 9)).box == (3, 3)
    assert board_of_shape(900, 6, (30, 30)).kind == "maze"
    arc = board_of_shape(900, 12, (30, 30))
    assert (arc.kind, arc.symbols[2], arc.symbols[11]) == ("arc", "0", "9")
    text = board_of_shape(100, 300, None)
    assert (text.kind, text.rows, text.cols, len(text.symbols)) == ("cells", 4, 32, 300)
