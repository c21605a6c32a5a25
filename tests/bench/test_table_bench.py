"""The bench of tables clears them with simple planners, and owes a bar with fewer than five seeds."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import harness
import pytest
from _table_planners import breadth_first, greedy, linear
from _table_worlds import Cleared, clear_tables
from table import GREEDY, HRM, SEARCH, bars_of, planners_table

from sage.hrm_core.tasks.table.task import TableTask


def _cleared(planner: str, seed: int, finished: int) -> Cleared:
    return Cleared(
        planner=planner,
        seed=seed,
        scenes=100,
        finished=finished,
        plans=120,
        right=110,
        replans=20,
        moves=700,
        slips=30,
        changes=20,
        refused=3,
        cpu_secs=1.2,
    )


@pytest.mark.slow
def test_planners_get_the_same_scenes_and_search_clears_them_all() -> None:
    task = TableTask()
    planners = {SEARCH: breadth_first(task), GREEDY: greedy(task), "linear": linear(task, num=50, seed=0)}
    found = {name: clear_tables(name, planner, num=12, seed=3) for name, planner in planners.items()}
    again = clear_tables(SEARCH, planners[SEARCH], num=12, seed=3)
    assert found[SEARCH].share == 1.0
    assert found[SEARCH].right == found[SEARCH].plans == 12 + found[SEARCH].replans
    assert (again.moves, again.slips, again.changes) == (
        found[SEARCH].moves,
        found[SEARCH].slips,
        found[SEARCH].changes,
    )
    assert found["linear"].finished < found[GREEDY].finished < 12
    assert len(planners_table(list(found.values())).rows) == 3


def test_bars_are_of_five_seeds_and_owed_with_fewer() -> None:
    found = [
        _cleared(planner, seed, finished)
        for seed in range(5)
        for planner, finished in ((HRM, 96), (SEARCH, 100), (GREEDY, 77))
    ]
    near, above, _ = bars_of(found[:12], [])
    assert (near.is_met, above.is_met) == (None, None)
    runs = [type("Run", (), {"cpu_secs": 170.0})()]
    near, above, cpu_secs = bars_of(found, runs)  # type: ignore[arg-type]
    assert near.value == pytest.approx(-0.04)
    assert (near.is_met, above.is_met, cpu_secs.is_met) == (True, False, True)


@pytest.mark.slow
def test_the_quick_benchmark_ends_with_its_document() -> None:
    command = [sys.executable, str(harness.ROOT / "implementation" / "bench" / "table.py"), "--quick"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    ended = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    document = json.loads(ended.stdout.splitlines()[-1])
    assert document["bench"] == "table"
    assert {each["planner"] for each in document["results"]["planners"]} >= {HRM, SEARCH, GREEDY}
    assert all(bar["met"] is None for bar in document["bars"])
