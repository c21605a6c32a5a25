"""The benchmark of memory: what it measures by known cases, and a quick run's document."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import _memory_stores
import harness
import numpy as np
import pytest

# A signpost beside the package has the same name: the script is imported from the bench folder.
memory = importlib.import_module("memory")


def test_exact_search_finds_the_nearest_keys_and_absent_peers_are_named() -> None:
    rows = {each.method: each for each in _memory_stores.searches(2000, 5, has_graphs=False)}
    assert rows["sage, exact"].recall == rows["numpy"].recall == 1.0
    flat = next(each for name, each in rows.items() if name.startswith("faiss-flat"))
    assert (flat.query_us is None) == flat.method.endswith("(not installed)")


def test_keys_have_unit_length_and_their_nearest_are_the_truth() -> None:
    data = _memory_stores.make_keys(500, 3)
    np.testing.assert_allclose(np.linalg.norm(data.keys, axis=1), 1, rtol=1e-5)
    for query, nearest in zip(data.queries, data.nearest):
        assert data.keys[nearest[0]].dot(query) == max(data.keys.dot(query))


def test_eviction_by_salience_keeps_more_salient_events_than_by_age() -> None:
    found = _memory_stores.salient_recall(num_events=400, num_slots=20, num_salient=40)
    assert found["salience"] == 0.5
    assert found["fifo"] < 0.2


@pytest.mark.slow
def test_the_quick_benchmark_ends_with_its_document() -> None:
    script = harness.ROOT / "implementation" / "bench" / "memory.py"
    done = subprocess.run(
        [sys.executable, str(script), "--quick"], capture_output=True, text=True, check=True, timeout=240
    )
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["bench"] == "memory"
    assert document["results"]["kills"]["num_lost"] == document["results"]["kills"]["num_torn"] == 0
    met = {bar["name"]: bar["met"] for bar in document["bars"]}
    assert met["recall@10 at 1e4"] is True
    assert met["salient recall / FIFO at equal bytes"] is True
    assert {met[name] for name in met if "100 kill" in name or "1e6" in name or "1e5" in name} == {None}


def test_a_quick_run_owes_what_it_does_not_measure() -> None:
    results = {
        "search": [], "acknowledged": [{"single_us": 300.0, "grouped_us": 10.0}], "packed_write_us": 3.0,
        "salient_recall": {"salience": 0.5, "fifo": 0.02},
        "back": {"journal_cpu": 3.0, "snapshot_cpu": 0.1},
        "bytes": {"resident_growth_mb": 0.0, "disk_growth_mb": 0.0}, "kills": {"num_lost": 1, "num_torn": 0},
    }  # fmt: skip
    whole = {bar.name: bar.is_met for bar in memory.make_bars(results, is_quick=False)}
    assert whole["acknowledged rows lost in 100 kill -9"] is False
    assert whole["1e5 memories back from the journal (CPU s)"] is False
    assert whole["durable acknowledgement, single (us)"] is False
    assert whole["recall@10 at 1e4"] is None
    assert memory.make_bars(results, is_quick=True)[-2].is_met is None
