"""The benchmark of categorical pools: its faults and peers by known cases, and a quick run's document."""

from __future__ import annotations

import json
import subprocess
import sys

import harness
import numpy as np
import pytest
from pool import CASES, NUM_CLASSES, POOLS, Stream, bars_of, hedge, single_losses, with_fault


@pytest.fixture
def stream() -> Stream:
    """Four sources of different skill, 60 steps."""
    generator = np.random.default_rng(0)
    labels = generator.integers(NUM_CLASSES, size=60)
    given = generator.random((60, 4, NUM_CLASSES)) + 0.1
    for source, boost in enumerate((3.0, 9.0, 1.0, 0.5)):
        given[np.arange(60), source, labels] += boost
    return Stream(given / given.sum(axis=-1, keepdims=True), labels)


def test_a_fault_begins_at_a_third_and_hits_the_best_source(stream: Stream) -> None:
    for case, num in zip(CASES, (0, 1, 2, 2)):
        faulty = with_fault(stream, case, seed=0)
        assert np.array_equal(faulty.given[:20], stream.given[:20])
        changed = [
            source for source in range(4) if (faulty.given[20:, source] != stream.given[20:, source]).any()
        ]
        assert len(changed) == num
        assert num == 0 or 1 in changed
    empty = with_fault(stream, "two empty", seed=0)
    assert (empty.given[20:, 1] == 1 / NUM_CLASSES).all()
    wrong = with_fault(stream, "two confidently wrong", seed=0)
    assert (wrong.given[20:, 1].argmax(axis=-1) != stream.labels[20:]).all()
    np.testing.assert_allclose(wrong.given[20:, 1].sum(axis=-1), 1.0)


def test_hedge_ends_on_the_best_source(stream: Stream) -> None:
    assert hedge(stream)[-10:].mean() == pytest.approx(single_losses(stream)[-10:, 1].mean(), rel=0.05)


def test_every_pool_has_a_loss_for_each_step(stream: Stream) -> None:
    for pool in POOLS.values():
        losses = pool(stream)
        assert losses.shape == (60,)
        assert np.isfinite(losses).all()


def test_the_bars_compare_with_the_best_peer() -> None:
    means = {name: dict.fromkeys(CASES, 1.0) for name in (*POOLS, "best single")}
    means["online log pool"] = dict.fromkeys(CASES, 0.5)
    assert all(bar.is_met for bar in bars_of(means, is_quick=False))
    means["equal log pool"]["best lies"] = 0.6
    assert [bar.is_met for bar in bars_of(means, is_quick=False)] == [False, True, True, True]
    assert {bar.is_met for bar in bars_of(means, is_quick=True)} == {None}


@pytest.mark.slow
def test_the_quick_benchmark_ends_with_its_document() -> None:
    command = [sys.executable, str(harness.ROOT / "implementation" / "bench" / "pool.py"), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240)
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["bench"] == "pool"
    assert set(document["results"]["means"]) == {*POOLS, "best single"}
    ours, means = document["results"]["means"]["online log pool"], document["results"]["means"]
    for case in CASES[1:]:
        assert ours[case] < min(
            means[name][case] for name in means if name not in ("online log pool", "best single")
        )
