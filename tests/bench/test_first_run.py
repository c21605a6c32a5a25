"""The default run over seeds: figures are those of the sessions' summaries, bars those of the worst seed."""

from __future__ import annotations

from typing import Any

import pytest
from first_run import bars_of, session_of, tables_of


def summary(
    first: float,
    last: float,
    held_out: float | None,
    second: int,
    num_night: int = 300,
    night_p99_ns: float | None = 5.2e7,
) -> dict[str, Any]:
    levels = [
        {"name": "sudoku 4x4", "num_answered": 500, "first": first, "last": last, "held_out": held_out},
        {"name": "sudoku 6x6", "num_answered": second, "first": 0.0, "last": 0.5, "held_out": None},
    ]
    night = {"outcome": "accepted", "gain": 0.1, "gain_low": 0.02, "gain_high": 0.2, "num_examined": 80}
    nights = [night | {"stream": "riddles"}, night | {"stream": ""}]
    ticks = {
        "num_night": num_night,
        "night_p99_ns": night_p99_ns,
        "num_waking": 1700,
        "waking_p99_ns": 4.0e7,
    }
    return {
        "solving": [{"levels": levels}],
        "sleeps": nights,
        "num_ticks": 2000,
        "tick_p99_ns": 4.0e7,
        "night_ticks": ticks,
    }


def test_bars_are_of_the_worst_seed() -> None:
    good = session_of(0, summary(0.0, 1.0, 1.0, 100))
    assert good.p99_ms == pytest.approx(40.0)
    assert len(good.nights) == 1
    assert [bar.is_met for bar in bars_of([good], is_owed=False)] == [True] * 5
    bad = session_of(1, summary(0.2, 0.9, None, 0, night_p99_ns=6.4e7))
    assert [bar.is_met for bar in bars_of([good, bad], is_owed=False)] == [False] * 5
    assert [bar.value for bar in bars_of([good, bad], is_owed=True)] == [None] * 5


def test_tables_have_a_row_a_level_and_night_and_a_dash_for_what_was_not_measured() -> None:
    shares, means, nights, ticks = tables_of([session_of(0, summary(0.0, 1.0, 1.0, 100))])
    assert shares.rows[0] == ("0", "sudoku 4x4", "500", "0.0%", "100.0%", "100.0%")
    assert shares.rows[1][-1] == "-"
    assert means.rows[0] == ("sudoku 4x4", "500", "0.0%", "100.0%", "100.0%")
    assert nights.rows == (("0", "accepted", "80", "+10.0%", "+2.0%", "+20.0%"),)
    assert ticks.rows == (("0", "2,000", "40.0", "300", "52.0", "1,700", "40.0", "1.30"),)


def test_ticks_during_a_night_are_compared_where_there_are_a_hundred_of_each_kind() -> None:
    enough = session_of(0, summary(0.0, 1.0, 1.0, 100))
    few = session_of(1, summary(0.0, 1.0, 1.0, 100, num_night=99))
    none = session_of(2, summary(0.0, 1.0, 1.0, 100, num_night=0, night_p99_ns=None))
    assert bars_of([enough], is_owed=False)[-1].value == pytest.approx(1.3)
    assert bars_of([enough, few], is_owed=False)[-1].value is None
    assert tables_of([none])[-1].rows == (("2", "2,000", "40.0", "0", "-", "1,700", "40.0", "-"),)
