"""Puzzles are drawn as grids with their wrong cells marked."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the extra viz is not installed")

from sage.app.models.plots.figure import RED
from sage.app.models.plots.puzzles import draw_answer, draw_forming, symbols_of
from sage.hrm_core.tasks.catalogue import make_task

PUZZLE, ANSWER = ".4..1.42.23.....", "2413134242313124"


def cells(text: str) -> np.ndarray:
    return np.array([1 if each == "." else int(each) + 1 for each in text], np.int32)


def titles(figure) -> list[str]:
    return [axis.get_title(loc="left") for axis in figure.axes]


def test_an_answer_stands_between_puzzle_and_target() -> None:
    task, wrong = make_task("sudoku", size=4), cells(ANSWER)
    wrong[0] = 5
    figure = draw_answer(task, cells(PUZZLE), wrong, cells(ANSWER))
    assert titles(figure) == ["puzzle", "answer: 1 wrong", "target"]
    drawn = ["".join(text.get_text() for text in axis.texts) for axis in figure.axes]
    assert drawn == [PUZZLE.replace(".", ""), symbols_of(task, wrong), ANSWER]
    assert [text.get_color() == RED for text in figure.axes[1].texts] == [True] + [False] * 15
    assert titles(draw_answer(task, cells(PUZZLE), cells(ANSWER)))[1] == "answer: right"
    assert titles(draw_answer(task, cells(PUZZLE), wrong))[1] == "answer"  # nobody knows which cell it is


def test_of_many_segments_the_first_and_the_last_are_shown() -> None:
    answers = np.repeat(cells(ANSWER)[None], 20, axis=0)
    figure = draw_forming(
        make_task("sudoku", size=4), cells(PUZZLE), answers, np.linspace(0, 1, 20), cells(ANSWER)
    )
    shown = titles(figure)
    assert len(shown) == 8
    assert (shown[0], shown[-1]) == ("after 1 (q 0.00): right", "after 20 (q 1.00): right")


def test_a_maze_shows_the_path_and_what_is_wrong_with_it() -> None:
    puzzle = np.full(100, 2, np.int32)
    puzzle[[0, 9, 55]] = 3, 4, 1
    target, answer = puzzle.copy(), puzzle.copy()
    target[1:9], answer[1:8] = 5, 5
    figure = draw_answer(make_task("maze", size=10), puzzle, answer, target)
    assert titles(figure) == ["puzzle", "answer: 1 wrong", "target"]
    right, wrong = figure.axes[1].collections
    assert (len(right.get_offsets()), len(wrong.get_offsets())) == (7, 1)
