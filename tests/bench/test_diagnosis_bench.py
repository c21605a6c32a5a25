"""The bench of diagnosis judges every way on the same graphs, and a quick run owes its bars."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import harness
import numpy as np
import pytest
from _diagnosis_peers import counts_of, exact, greedy, highest, linear
from diagnosis import EXACT, GREEDY, HRM, LINEAR, SEARCH, Named, bars_of, of_namer, ways_table

from sage.hrm_core.tasks.diagnosis.config import DiagnosisConfig
from sage.hrm_core.tasks.diagnosis.task import DiagnosisTask


def test_the_exact_solver_is_the_ceiling_and_the_linear_skip_is_below_greedy() -> None:
    task = DiagnosisTask(DiagnosisConfig(faults=(3, 3)))
    examples, learned = task.held_out(60), task.sample(300, np.random.default_rng(1))
    graphs, named = task.graphs_of(learned.inputs), task.causes_of(learned.answers())
    ways = {EXACT: exact(task), GREEDY: greedy, LINEAR: linear(graphs, named, 3)}
    found = {way: of_namer(task, examples, way, name) for way, name in ways.items()}
    assert found[EXACT].right == found[EXACT].explained == 60
    assert found[LINEAR].right < found[GREEDY].right < 60
    assert found[GREEDY].explained == 60
    counts = counts_of(graphs)
    np.testing.assert_array_equal(counts[:, :, 0], graphs.edges.sum(axis=2))
    np.testing.assert_array_equal(counts[:, :, 2] > 0, graphs.is_ruled_out)
    assert highest(counts[:, :, 1], graphs, 3).sum(axis=1).tolist() == [3] * 300


def test_bars_are_differences_of_shares_and_owed_in_a_quick_run() -> None:
    rights = {HRM: 960, SEARCH: 1000, EXACT: 1000, GREEDY: 780, LINEAR: 50}
    found = [Named(way=way, num=1000, right=right, explained=1000, ms=12.0) for way, right in rights.items()]
    assert [bar.value for bar in bars_of(found, is_whole=True)] == pytest.approx([0.96, 0.91, 0.18, 12.0])
    assert all(bar.is_met for bar in bars_of(found, is_whole=True))
    assert all(bar.is_met is None for bar in bars_of(found, is_whole=False))
    assert ways_table(found).rows[0][1].startswith("96.0 (94.6 to")


@pytest.mark.slow
def test_the_quick_benchmark_ends_with_its_document() -> None:
    command = [sys.executable, str(harness.ROOT / "implementation" / "bench" / "diagnosis.py"), "--quick"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    ended = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    document = json.loads(ended.stdout.splitlines()[-1])
    assert document["bench"] == "diagnosis"
    assert {each["way"] for each in document["results"]["ways"]} >= {HRM, SEARCH, EXACT, GREEDY, LINEAR}
    assert all(bar["met"] is None for bar in document["bars"])
