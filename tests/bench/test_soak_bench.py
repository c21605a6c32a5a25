"""The soak benchmark: kills while a state directory is written, and what counts as a loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from _soak_kills import Tally, kills

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
