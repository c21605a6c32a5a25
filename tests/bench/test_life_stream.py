"""The bench's stream of real puzzles: what its lives learn from, and its differences and bars."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import _life_stream
import numpy as np
import pytest
from _life_stream import AWAKE, NIGHTS, NO_LEARNING, PLAIN, Day, Scale, StreamLife, advantage, bars

from sage.hrm_core.from_search.episodes import PUZZLE, EpisodeFolder, Episodes, PartFigures
from sage.hrm_core.tasks.catalogue import make_task

SCALE = Scale(days=3, puzzles=4, portions=2)


def _found(rates: dict[str, list[list[bool]]], seeds: int = 3) -> Any:
    return {
        (arm, seed): (np.arange(8).reshape(2, 4), [Day(solved=tuple(day), steps=1) for day in days])
        for arm, days in rates.items()
        for seed in range(seeds)
    }


def test_a_difference_pairs_the_puzzles_of_the_same_day() -> None:
    found = _found({NIGHTS: [[True] * 4, [True, True, True, False]], NO_LEARNING: [[False] * 4, [True] * 4]})
    mean, low, high = advantage(found, NIGHTS, NO_LEARNING, slice(1, None))
    assert mean == pytest.approx(-0.25)
    assert low < mean < high
    assert advantage(found, NIGHTS, NO_LEARNING, slice(0, 1)) == (1.0, 1.0, 1.0)
    assert math.isnan(advantage(found, NIGHTS, PLAIN, slice(0, 1))[0])


def test_bars_are_owed_with_fewer_than_three_seeds_and_without_an_arm() -> None:
    better, worse = [[False] * 4, [True] * 4], [[False] * 4, [False] * 4]
    rates = {NIGHTS: better, NO_LEARNING: worse, AWAKE: better, PLAIN: worse}
    assert [bar.is_met for bar in bars(_found(rates), 2)] == [True, True, True, True]
    assert [bar.value for bar in bars(_found(rates), 2)] == [1.0, 0.0, 1.0, 1.0]
    assert all(bar.is_met is None for bar in bars(_found(rates, seeds=2), 2))
    del rates[NO_LEARNING]
    assert [bar.is_met for bar in bars(_found(rates), 2)] == [None, True, True, None]


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Of each training: its task's number of answers, its seconds, whether symmetries move it. A search finds
    the answer of every other puzzle.
    """
    trained: list[Any] = []

    def search(model: Any, task: Any, inputs: np.ndarray, folder: Path, **_: Any) -> Episodes:
        rows = inputs[::2]
        num = len(rows)
        episodes = Episodes(
            inputs=rows,
            labels=rows,
            puzzle_ids=np.full(num, -1, np.int32),
            kind=np.full(num, PUZZLE, np.int8),
            puzzle=np.arange(num),
            calls=np.full(num, 2, np.int32),
        )
        home = EpisodeFolder(folder)
        home.begin({})
        figures = PartFigures(
            num_puzzles=len(inputs),
            num_solved=num,
            num_plain=0,
            num_calls=2 * num,
            cpu_secs=0.0,
            is_complete=True,
        )
        home.write(0, episodes, figures)
        return episodes

    def train(model: Any, task: Any, config: Any, cpu_secs: float, *, num_timed: int) -> int:
        trained.append((len(task._episodes), cpu_secs, task._is_moved))
        return 5

    monkeypatch.setattr(_life_stream, "search_puzzles", search)
    monkeypatch.setattr(_life_stream, "train_for", train)
    return trained


@pytest.mark.parametrize(
    ("arm", "expected"),
    [
        (NIGHTS, [(2, 180.0, True), (4, 180.0, True)]),
        (PLAIN, [(2, 180.0, False), (4, 180.0, False)]),
        (AWAKE, [(1, 90.0, True), (2, 90.0, True), (3, 90.0, True), (4, 90.0, True)]),
        (NO_LEARNING, []),
    ],
)
def test_arms_learn_from_what_the_days_solved_for_the_same_time(
    arm: str, expected: list[Any], noted: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(path: Path) -> None:
        path.mkdir()

    model = SimpleNamespace(save_pretrained=save)
    model.eval = lambda: model
    monkeypatch.setattr(StreamLife, "_model", lambda self, number: model)
    puzzles = make_task("sudoku", size=9, givens=(36, 50)).held_out(12)
    life = StreamLife(arm, "", 0, tmp_path, puzzles, SCALE)
    days = life.live()
    assert noted == expected
    assert [day.solved for day in days] == [(True, False, True, False)] * 3
    assert sum(day.steps for day in days) == 5 * len(expected)
    assert life.live() == days  # read from the folder
    assert len(noted) == len(expected)
