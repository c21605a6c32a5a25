"""The benchmark of the tick: its figures from made times, and its sessions for a few ticks."""

from __future__ import annotations

import json
from pathlib import Path

import harness
import pytest
from _sessions import TOP_K, session, synthetic_config
from loop import RATES, SOURCES, Row, growth, make_bars, overhead_table, soak, stage_table


def made_rows(overhead_us: dict[int, float]) -> list[Row]:
    """Two rounds of ticks that all take as long, except one that is late."""
    rounds = {count: [[us] * 20 + [10 * us], [us] * 21] for count, us in overhead_us.items()}
    return [Row(count, rate, rounds[count], [2000.0] * 42) for rate in RATES for count in SOURCES]


def memory_of(growth_mib: float) -> dict[str, float]:
    return {"growth_mib": growth_mib}


def test_four_times_the_overhead_for_four_times_the_sources_meets_its_bar() -> None:
    rows = made_rows({1: 100.0, 4: 300.0, 16: 900.0, 64: 3600.0})
    assert growth(rows, "every") == pytest.approx({"1 to 4": 3.0, "4 to 16": 3.0, "16 to 64": 4.0})
    bars = make_bars(rows, memory_of(0.5), is_quick=False)
    assert [bar.is_met for bar in bars] == [True, True, True]


def test_more_than_linear_slow_and_growing_misses_every_bar() -> None:
    rows = made_rows({1: 100.0, 4: 300.0, 16: 1100.0, 64: 5000.0})
    assert [bar.is_met for bar in make_bars(rows, memory_of(1.5), is_quick=False)] == [False, False, False]


def test_a_memory_that_was_watched_briefly_leaves_its_bar_owed() -> None:
    rows = made_rows({1: 100.0, 4: 300.0, 16: 900.0, 64: 3600.0})
    assert make_bars(rows, memory_of(0.0), is_quick=True)[-1].is_met is None


def test_what_is_told_is_plain_json_with_a_row_a_size_and_rate() -> None:
    rows = made_rows({1: 100.0, 4: 300.0, 16: 900.0, 64: 3600.0})
    described = harness.to_json([row.describe() for row in rows])
    json.dumps(described, allow_nan=False)
    assert [(each["num_sources"], each["rate"]) for each in described] == [
        (row.num_sources, row.rate) for row in rows
    ]
    assert len(overhead_table(rows).rows) == len(stage_table(rows).rows) == len(rows)


def test_every_source_is_fresh_and_attended_every_tick_in_the_worst_case(tmp_path: Path) -> None:
    with session(synthetic_config(5, num_segments=1, hidden_size=16), tmp_path) as each:
        reports = [each.tick() for _ in range(5)]
    assert all(
        source.is_fresh and source.is_attended for report in reports for source in report.facts.sources
    )
    assert reports[-1].facts.learning.num_practice_steps == 0


def test_at_a_quarter_of_the_rate_a_quarter_is_fresh_and_not_all_at_once(tmp_path: Path) -> None:
    with session(synthetic_config(8, is_quarter=True, num_segments=1, hidden_size=16), tmp_path) as each:
        fresh = [sum(source.is_fresh for source in each.tick().facts.sources) for _ in range(120)]
    assert sum(fresh) == pytest.approx(120 * 8 / 4, rel=0.05)
    assert max(fresh[60:]) < 8 <= TOP_K


@pytest.mark.slow
def test_the_soak_tells_resident_bytes_at_each_look() -> None:
    described = soak((201, 202, 203))
    assert len(described["resident_bytes"]) == 3
    assert min(described["resident_bytes"]) > 0
