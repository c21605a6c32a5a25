"""The soak benchmark: kills while a state directory is written, and what counts as a loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _soak_kills import Tally, kills
from _soak_ticks import Record, SoakPlan, slopes, soak

FOUND = {
    "kind": "recovered",
    "message": "continued from tick 8",
    "memory": 5,
    "digest": "a",
    "audit": 3,
    "trainer": 4,
    "schemes": {"s1": 1},
    "stored": {"soak": 9},
    "problems": [],
}
WRITTEN = {
    "kind": "acknowledged",
    "memory": 5,
    "audit": 3,
    "trainer": 4,
    "schemes": {"s1": 1},
    "stored": {"soak": 9},
    "problem": "",
}


@pytest.mark.parametrize(
    "lost",
    [
        {"memory": 4},
        {"audit": 2},
        {"trainer": 3},
        {"schemes": {"s1": 0}},
        {"schemes": {}},
        {"stored": {"soak": 8}},
        {"digest": "b"},
        {"problems": ["a damaged file"]},
    ],
)
def test_whatever_a_restart_lacks_is_a_problem(lost: dict[str, Any]) -> None:
    for found, num in ((FOUND, 0), (FOUND | lost, 1)):
        tally = Tally()
        tally.note({"kind": "memory", "sequence": 5, "digest": "a"})
        tally.note(WRITTEN)
        tally.note(found)
        assert len(tally.problems) == num


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kills_while_everything_is_written_lose_nothing(tmp_path: Path) -> None:
    found = kills(tmp_path / "state", 20, seed=1)
    assert found["problems"] == []
    assert found["num_kills"] == 20
    assert found["recoveries"] > 5
    assert found["memories_compared"] > 0


def test_a_slope_is_found_within_lives_and_its_interval_holds_it() -> None:
    chance = np.random.default_rng(0)
    samples = []
    for life, start in ((1, 5_000_000), (2, 1_000_000)):
        for tick in range(0, 8000, 250):
            noise = int(chance.normal(0, 2000))
            samples.append([life, tick, start + 3 * tick + noise, 40, 7 + (tick >= 1000)])
    found = slopes(samples)
    memory = found["resident_bytes"]
    assert memory["low"] <= 30_000 <= memory["high"]
    assert memory["low"] > 20_000
    assert found["descriptors"]["median"] == found["descriptors"]["high"] == 0
    assert found["threads"]["median"] == 0  # before 1,000 ticks they start
    assert slopes([])["threads"]["median"] is None


def test_what_a_life_lacks_is_a_problem_and_a_record_reads_back(tmp_path: Path) -> None:
    tick = {"kind": "tick", "tick": 7, "memory": 5, "appended": 6, "audit": 7, "stored": 3}
    found = {"kind": "recovered", "memory": 5, "audit": 7, "stored": 3, "problems": []}
    for lost, num in (({}, 0), ({"memory": 4}, 1), ({"audit": 6, "stored": 0}, 2)):
        record = Record(seed=3)
        record.note_life([found | {"memory": 0, "audit": 0, "stored": 0}, tick])
        record.note_life([found | lost, tick | {"tick": 2}])
        assert len(record.problems) == num
        assert (record.ticks, record.lives) == (9, 2)
        record.write(tmp_path)
        assert Record.read(tmp_path, 3).plain() == record.plain()


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_ten_minutes_under_faults_lose_nothing_and_do_not_grow(tmp_path: Path) -> None:
    found = soak(tmp_path, SoakPlan(minutes=10.0, ticks_a_kill=1500))
    assert found["problems"] == []
    assert found["ticks"] > 1000
    assert found["counts"]["restarts that recovered"] > 1
    assert found["counts"]["full disk"] > 0
    assert found["slopes"]["descriptors"]["median"] in (None, 0.0)
    assert found["slopes"]["threads"]["median"] in (None, 0.0)
