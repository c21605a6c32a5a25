"""The report's pictures of episodes and of puzzles in hand."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from sage.app.report.boards import NUM_BOARDS, NUM_STEPS, boards_html
from sage.app.report.worlds import NUM_EPISODES, world_plots, world_table
from sage.app.store.answers import LevelHistory
from sage.app.store.boards import Board
from sage.app.store.episodes import EpisodeHistory


def history(world: str, *, states_success: bool) -> EpisodeHistory:
    num = 60
    return EpisodeHistory(
        world=world,
        ticks=np.arange(10, 10 * num + 1, 10),
        returns=np.arange(num, dtype=float),
        is_cut=np.arange(num) % 2 == 0,
        success=(np.arange(num) >= 30).astype(float) if states_success else np.full(num, np.nan),
    )


def test_each_world_has_its_returns_and_success_where_it_is_stated() -> None:
    worlds = (history("cart", states_success=False), history("<arm>", states_success=True))
    ticks = np.array([0, 300, 600])
    cart, arm, success = world_plots(worlds, ticks)
    assert "cart" in cart.title
    assert "<arm>" in arm.title
    median, low, high = cart.lines
    assert np.isnan(median.values[0])
    assert median.values[1:].tolist() == [19.5, 49.5]
    assert (low.values[1:] < median.values[1:]).all()
    assert (high.values[1:] > median.values[1:]).all()
    (line,) = success.lines
    assert line.values[1:].tolist() == [0.0, 100.0]
    table = world_table(worlds)
    assert "&lt;arm&gt;" in table
    assert "<arm>" not in table
    assert f"last {NUM_EPISODES}" in table
    assert "49.50" in table
    assert world_plots((), ticks) == ()


def level(name: str) -> LevelHistory:
    none = np.zeros(0, np.int64)
    return LevelHistory(
        stream="s", name=name, ticks=none, num_answers=none, num_right=none, num_abstained=none,
        num_segments=none, confidence=none.astype(float),
    )  # fmt: skip


def board(puzzle: int, num_steps: int, **result: Any) -> Board:
    cells = np.ones(16, np.int32)
    cells[0] = 3
    answers = np.stack([cells] * num_steps)
    for step in range(num_steps):
        answers[step:, 1 + step % 15] = 2 + step % 4
    return Board(
        stream="s", puzzle=puzzle, cells=cells, ticks=np.arange(num_steps), answers=answers, **result
    )


def test_the_last_puzzles_are_drawn_step_by_step() -> None:
    page = boards_html([board(number, 3 + number) for number in range(6)], [level("sudoku 4x4")])
    assert page.count("<figcaption>") == NUM_BOARDS
    assert "puzzle 5, sudoku 4x4, 8 steps" in page
    assert "puzzle 2," not in page
    assert page.count('class="grid"') == 3 * NUM_STEPS
    assert page.count('<b class="given">2</b>') == 3 * NUM_STEPS
    assert page.count("--columns:4") == 3 * NUM_STEPS
    assert '<b class="new">1</b>' in page
    assert boards_html([], []) == ""


def test_of_the_last_puzzles_those_with_the_most_steps_are_drawn() -> None:
    steps = [9] * 3 + [1, 5, 1, 7, 1, 1, 1, 1, 1, 1, 6, 1]
    page = boards_html([board(number, num) for number, num in enumerate(steps)], [level("sudoku 4x4")])
    captions = re.findall("<figcaption>(.*?)</figcaption>", page)
    assert [caption.partition(",")[0] for caption in captions] == ["puzzle 4", "puzzle 6", "puzzle 13"]


def test_a_caption_has_the_segments_of_the_answer_and_whether_it_was_right() -> None:
    levels = [level("sudoku 4x4")]
    seen = {"level": "sudoku 4x4 easy", "verdict": "right", "num_segments": 16}
    page = boards_html([board(3, 3, segments=(1, 4, 9), **seen)], levels)
    assert "puzzle 3, sudoku 4x4 easy, 16 segments, right, 3 steps, ticks 0 to 2" in page
    assert re.findall('quiet">(.*?)<', page) == ["segment 1", "segment 4", "answer"]
    named = boards_html([board(3, 3, level="hard", verdict="right", num_segments=16)], levels)
    assert "puzzle 3, hard, " in named
    assert '<b class="given">2</b>' in named  # a symbol 3 of a sudoku
    page = boards_html([board(3, 2)], levels)
    assert re.findall('quiet">(.*?)<', page) == ["tick 0", "tick 1"]
    assert "puzzle 4, sudoku 4x4, 1 step, tick 0<" in boards_html([board(4, 1)], levels)


def test_a_board_of_an_unknown_level_shows_its_numbers() -> None:
    page = boards_html([board(0, 1)], [level("6x6")])
    assert "level unknown" in page
    assert '<b class="given">3</b>' in page
