"""The bench of real sudokus: shares by model calls, and two ways at equal CPU time."""

from __future__ import annotations

import math

import pytest
from _sudoku_ways import Way, paired
from sudoku_real import MARGIN, bars_of


def _way(calls_to_solve: list[float], *, cpu_secs: float, calls: float = 10.0) -> Way:
    solved = sum(map(math.isfinite, calls_to_solve)) / len(calls_to_solve)
    budgets = (1, 16, 64, 240, 256)
    return Way(
        name="search",
        num=len(calls_to_solve),
        solved=solved,
        low=0.0,
        high=1.0,
        wrong=0.0,
        abstained=1 - solved,
        calls=calls,
        segments=60.0,
        block_calls=360.0,
        cpu_secs=cpu_secs,
        at={
            budget: sum(each <= budget for each in calls_to_solve) / len(calls_to_solve) for budget in budgets
        },
        calls_to_solve=calls_to_solve,
    )


def test_two_ways_are_compared_at_equal_cpu_time_not_at_equal_calls() -> None:
    cheap = _way([1.0, 20.0, 40.0, math.inf], cpu_secs=0.1)  # 0.01 s a call
    costly = _way([1.0, 20.0, 40.0, 60.0], cpu_secs=0.3)  # 0.03 s a call
    at = paired(cheap, costly, 0.6)
    assert (at.first, at.second) == (0.75, 0.5)
    assert at.difference == pytest.approx(-0.25)
    assert at.low < -0.25 < at.high
    assert paired(cheap, costly, 2.0).difference == pytest.approx(0.25)


def test_only_what_took_more_than_the_plain_pass_counts_for_the_control() -> None:
    assert _way([1.0, 1.0, 5.0, math.inf], cpu_secs=0.1).solved_by_search == 0.25


def test_json_has_no_infinity() -> None:
    assert _way([2.0, math.inf], cpu_secs=0.1).to_plain()["calls_to_solve"] == [2.0, None]


def test_bars_take_three_points_off_and_are_owed_where_nothing_was_measured() -> None:
    way = _way([1.0] * 3 + [100.0], cpu_secs=0.1)
    bars = {bar.name: bar for bar in bars_of({"mix": {"ways": {"one pass": way, "search": way}}}, {})}
    assert bars["mix, search, 64 calls, solved less 3 points"].value == pytest.approx(0.75 - MARGIN)
    assert bars["mix, best model, 240 calls, solved less 3 points"].value == pytest.approx(1.0 - MARGIN)
    assert bars["hard, search, 64 calls, solved less 3 points"].is_met is None
    assert bars["mix, chains without rules, wrong"].value is None
