"""Trust by context in the running loop, and over a restart."""

from __future__ import annotations

import numpy as np
import pytest

from sage.runtime.snapshot import load_snapshot, save_snapshot

MEMORY = {"num_contexts": 2, "num_experiences": 64, "num_recall": 64}


def put_in_context(run, context: int) -> None:
    """From now on each tick is in this context."""
    run.loop.memory_writer.contexts.assign = lambda key: context


def judge(run, name: str, context: int, right: float, num: int) -> None:
    for _ in range(num):
        run.loop.memory_writer.entities.judge([name], np.array([right]), context)


@pytest.mark.parametrize("is_enabled", [True, False])
def test_the_loop_distrusts_a_source_where_its_record_is_bad(start, settings, is_enabled: bool):
    run = start(settings(3, memory=MEMORY, trust={"by_context": is_enabled}))
    put_in_context(run, 0)
    run.loop.run(num_ticks=40)
    judge(run, "s1", 0, 1.0, 300)
    judge(run, "s1", 1, 0.0, 100)
    before = run.loop.trust.trust.copy()
    put_in_context(run, 1)
    run.loop.tick()
    after = run.loop.trust.trust
    assert after[[0, 2]] == pytest.approx(before[[0, 2]], abs=0.1)
    assert bool(after[1] < 0.3) is is_enabled
    put_in_context(run, 0)
    run.loop.tick()
    assert run.loop.trust.trust[1] == pytest.approx(before[1], abs=0.15)


def test_a_restart_in_another_context_moves_trust(start, settings, tmp_path):
    config = settings(3, memory=MEMORY, trust={"by_context": True})
    run = start(config)
    put_in_context(run, 0)
    run.loop.run(num_ticks=40)
    judge(run, "s1", 0, 1.0, 300)
    judge(run, "s1", 1, 0.0, 100)
    save_snapshot(tmp_path / "home", run.loop)
    again = start(config)
    assert "continued" in load_snapshot(tmp_path / "home", again.loop)
    before = again.loop.trust.trust.copy()
    put_in_context(again, 1)
    again.loop.tick()
    assert before[1] > 0.7
    assert again.loop.trust.trust[1] < 0.3
