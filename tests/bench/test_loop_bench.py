"""The benchmark of the tick: its figures from made times, and its sessions for a few ticks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import harness
import pytest
from _sessions import TOP_K, session, synthetic_config, with_all_on
from loop import SIZES, Row, growth, make_bars, memory_table, overhead_table, soak, stage_table

LINEAR = {1: 100.0, 4: 300.0, 16: 900.0, 64: 2900.0, 256: 11_000.0}


def made_rows(overhead_us: dict[int, float]) -> list[Row]:
    """Two rounds of ticks that all take as long, except one that is late."""
    rounds = {count: [[us] * 20 + [10 * us], [us] * 21] for count, us in overhead_us.items()}
    times = [[2000.0] * 42 for _ in range(3)]
    return [Row(count, mode, rounds[count], *times) for mode, sizes in SIZES.items() for count in sizes]


def memory_of(growth_mib: float) -> dict[str, dict[str, Any]]:
    found = {"growth_mib": growth_mib, "ticks": [1, 2], "resident_bytes": [9, 9], "noise_bytes": 0}
    return {mode: found for mode in ("off", "on")}


def test_four_times_the_overhead_for_four_times_the_sources_meets_its_bar() -> None:
    rows = made_rows(LINEAR)
    assert growth(rows, "quarter") == pytest.approx({"16 to 64": 2900 / 900})
    bars = make_bars(rows, memory_of(0.5), is_quick=False)
    assert [bar.is_met for bar in bars] == [True] * 9
    assert {bar.bar for bar in bars} == {1.0, 3.0, 4.0, 12.0}


def test_more_than_linear_slow_and_growing_misses_every_bar() -> None:
    rows = made_rows(LINEAR | {16: 1100.0, 64: 5000.0, 256: 12_100.0})
    assert [bar.is_met for bar in make_bars(rows, memory_of(1.5), is_quick=False)] == [False] * 9


def test_a_memory_that_was_measured_briefly_leaves_its_bars_owed() -> None:
    bars = make_bars(made_rows(LINEAR), memory_of(0.0), is_quick=True)
    assert [bar.is_met for bar in bars[-2:]] == [None, None]


def test_the_document_is_plain_json_with_a_row_for_each_size_and_mode() -> None:
    rows = made_rows(LINEAR)
    described = harness.to_json([row.describe() for row in rows])
    json.dumps(described, allow_nan=False)
    assert [(each["num_sources"], each["mode"]) for each in described] == [
        (row.num_sources, row.mode) for row in rows
    ]
    assert len(overhead_table(rows).rows) == len(stage_table(rows).rows) == len(rows)
    assert len(memory_table(memory_of(0.5)).rows) == 2


def test_all_on_acts_solves_and_measures_the_tick_with_its_instruments(tmp_path: Path) -> None:
    config = with_all_on(synthetic_config(2, num_segments=1, hidden_size=16))
    with session(config, tmp_path / "run" / "files") as each:
        for _ in range(3):
            report = each.tick()
        assert each.wall_ns >= report.timing.total_ns
    assert not report.facts.actions[0].is_held
    assert report.facts.solving[0].num_segments > 0


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
def test_the_soak_returns_resident_bytes_at_each_look() -> None:
    described = soak((201, 202, 203), "off")
    assert len(described["resident_bytes"]) == 3
    assert min(described["resident_bytes"]) > 0
