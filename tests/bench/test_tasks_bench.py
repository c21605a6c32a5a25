"""The bench of the other tasks compares with what costs nothing, and owes a bar where there is no run."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import harness
import pytest
from _tasks_judging import Judged
from tasks import JOINT, PROMISES, SINGLES, Learned, bars_of, joint_table, solo_table


def _judged(what: str, solved: float, baseline: float = 0.2) -> Judged:
    return Judged(
        what=what,
        num=100,
        segments=2,
        solved=solved,
        low=solved - 0.05,
        high=solved + 0.05,
        baseline="greedy",
        baseline_solved=baseline,
        baseline_high=baseline + 0.05,
        graded={"edges_kept": 0.9},
    )


def _learned(name: str, *judged: Judged, cpu_secs: float = 200.0) -> Learned:
    return Learned(name=name, num_parameters=7, steps=3, cpu_secs=cpu_secs, judged=list(judged))


def test_a_share_is_met_or_the_baseline_is_left_behind_with_its_interval() -> None:
    found = [
        _learned("hanoi", _judged("hanoi", 0.91)),
        _learned(
            "colouring",
            _judged("colouring", 0.29),
            _judged("colouring, pieces of DIMACS graphs", 0.5),
            cpu_secs=301.0,
        ),
    ]
    met = {bar.name: bar.is_met for bar in bars_of(found, None, {})}
    assert met["hanoi: share solved"] is True
    assert (
        met["colouring: above the baseline"],
        met["colouring, pieces of DIMACS graphs: above the baseline"],
    ) == (False, True)
    assert (met["hanoi: CPU seconds"], met["colouring: CPU seconds"]) == (True, False)


def test_every_bar_is_owed_where_nothing_ran() -> None:
    bars = bars_of([], None, {})
    assert all(bar.is_met is None for bar in bars)
    assert len(bars) == 2 * len(PROMISES) + 1 + len(SINGLES)


def test_a_joint_model_may_lose_five_points_against_the_single_ones() -> None:
    solved = {single.task: share for single, share in zip(SINGLES, (0.97, 0.94, 0.9))}
    joint = _learned(JOINT, *(_judged(f"{task}, joint", share) for task, share in solved.items()))
    singles = {single.task: _learned(single.folder, _judged(single.folder, 0.98)) for single in SINGLES}
    lost = [bar.is_met for bar in bars_of([], joint, singles) if bar.name.endswith("share lost")]
    assert lost == [True, True, False][: len(SINGLES)]
    assert (
        len(joint_table(joint, singles).rows) == len(solo_table(list(singles.values())).rows) == len(SINGLES)
    )


@pytest.mark.slow
def test_the_quick_benchmark_ends_with_its_document() -> None:
    command = [sys.executable, str(harness.ROOT / "implementation" / "bench" / "tasks.py"), "--quick"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    ended = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    document = json.loads(ended.stdout.splitlines()[-1])
    assert document["bench"] == "tasks"
    assert document["results"]["alone"][0]["judged"][0]["baseline"] == "the last difference again"
    assert all(bar["met"] is None for bar in document["bars"])
