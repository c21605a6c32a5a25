"""The default run over seeds: figures are those of the sessions' summaries, bars those of the worst seed."""

from __future__ import annotations

from typing import Any

import pytest
from first_run import bars_of, session_of, tables_of


def summary(first: float, last: float, held_out: float | None, second: int) -> dict[str, Any]:
    levels = [
        {"name": "sudoku 4x4", "num_answered": 500, "first": first, "last": last, "held_out": held_out},
        {"name": "sudoku 6x6", "num_answered": second, "first": 0.0, "last": 0.5, "held_out": None},
    ]
    night = {"outcome": "accepted", "gain": 0.1, "gain_low": 0.02, "gain_high": 0.2, "num_examined": 80}
    nights = [night | {"stream": "riddles"}, night | {"stream": ""}]
    return {"solving": [{"levels": levels}], "sleeps": nights, "num_ticks": 2000, "tick_p99_ns": 4.0e7}


def test_bars_are_of_the_worst_seed() -> None:
    good = session_of(0, summary(0.0, 1.0, 1.0, 100))
    assert good.p99_ms == pytest.approx(40.0)
    assert len(good.nights) == 1
    assert [bar.is_met for bar in bars_of([good], is_owed=False)] == [True] * 4
    bad = session_of(1, summary(0.2, 0.9, None, 0))
    assert [bar.is_met for bar in bars_of([good, bad], is_owed=False)] == [False] * 4
    assert [bar.value for bar in bars_of([good, bad], is_owed=True)] == [None] * 4


def test_tables_have_a_row_a_level_and_night_and_a_dash_for_what_was_not_measured() -> None:
    shares, means, nights, ticks = tables_of([session_of(0, summary(0.0, 1.0, 1.0, 100))])
    assert shares.rows[0] == ("0", "sudoku 4x4", "500", "0.0%", "100.0%", "100.0%")
    assert shares.rows[1][-1] == "-"
    assert means.rows[0] == ("sudoku 4x4", "500", "0.0%", "100.0%", "100.0%")
    assert nights.rows == (("0", "accepted", "80", "+10.0%", "+2.0%", "+20.0%"),)
    assert ticks.rows == (("0", "2,000", "40.0"),)
