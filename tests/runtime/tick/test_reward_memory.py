"""The sidecar in the loop: bound to the reward, compared with the value head, kept in snapshots."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from sage.runtime.digest import ADDED_MEMORY
from sage.runtime.report import MemoryFacts
from sage.runtime.snapshot import load_snapshot, save_snapshot
from sage.runtime.tick.reward_memory import RewardMemory

KEYS = np.random.default_rng(0).standard_normal((5, 8))


def cycle(memory: RewardMemory, num: int, value: float) -> list:
    """5 contexts in a circle, reward 1 on entering the first; a value head that always gives `value`."""
    return [
        memory.bind(KEYS[t % 5], float(t % 5 == 0), value, is_end=False, is_cut=False) for t in range(num)
    ]


def test_the_better_predictor_gets_the_share() -> None:
    memory = RewardMemory(8)
    bound = cycle(memory, 600, value=0.0)
    assert bound[-1].share > 0.9
    assert bound[-1].sidecar_error < 0.01 * bound[-1].value_error
    assert abs(bound[-1].reward_error) < 0.01


def test_a_value_head_that_is_right_leaves_the_sidecar_no_share() -> None:
    memory = RewardMemory(8)
    exact = np.linalg.solve(np.eye(5) - 0.95 * np.roll(np.eye(5), 1, axis=1), np.eye(5)[4])
    noise = np.random.default_rng(1)
    for t in range(200):
        # The sidecar sees a context without relation to the reward.
        bound = memory.bind(
            noise.standard_normal(8), float(t % 5 == 0), exact[t % 5], is_end=False, is_cut=False
        )
    assert bound.share < 0.1
    assert abs(bound.reward_error) < 0.2


def test_the_end_of_an_episode_is_worth_nothing_afterwards_and_a_cut_says_nothing() -> None:
    ended, cut = RewardMemory(8), RewardMemory(8)
    for memory, is_cut in ((ended, False), (cut, True)):
        for t in range(3):
            memory.bind(KEYS[t], 1.0, 0.0, is_end=False, is_cut=False)
        memory.bind(KEYS[0], 1.0, 0.0, is_end=not is_cut, is_cut=is_cut)
    assert ended.sidecar.num_writes == 3
    assert cut.sidecar.num_writes == 0


def test_without_a_reward_nothing_is_bound_and_a_late_one_counts_the_ticks_between() -> None:
    memory = RewardMemory(8)
    for t in range(200):
        bound = memory.bind(KEYS[t % 5], math.nan, 0.1, is_end=False, is_cut=False)
        assert math.isnan(bound.reward_error)
    assert bound.num_bound == 0
    for t in range(500):
        memory.bind(KEYS[t % 5], 1.0 if t % 5 == 0 else math.nan, 0.1, is_end=False, is_cut=False)
    values = [memory.sidecar.predict(key) for key in KEYS]
    assert values[4] > values[3] > values[2] > values[1] > values[0] > 0


@pytest.fixture
def rewarded(tmp_path: Path, settings):
    """A run whose table has a position and a reward for it."""
    angles = np.arange(200) * 0.2
    rows = [
        f"{t * 0.05:.3f},{np.sin(a):.5f},{np.cos(a):.5f},{max(np.sin(a), 0):.5f}"
        for t, a in enumerate(angles)
    ]
    path = tmp_path / "world.csv"
    path.write_text("t,x,y,r\n" + "\n".join(rows) + "\n")
    table = {"kind": "table", "path": str(path), "time": "t"}
    return settings(
        sensors=[
            table | {"name": "position", "columns": ["x", "y"], "observes": "position", "unit": "m"},
            table | {"name": "reward", "columns": ["r"], "observes": "reward"},
        ]
    )


def test_a_run_with_a_reward_reports_the_sidecar_and_keeps_it(start, rewarded, tmp_path) -> None:
    run = start(rewarded)
    run.loop.run(num_ticks=120)
    facts = run.loop.tick().facts.memory
    assert facts.num_bound > 40
    assert math.isfinite(facts.sidecar_error)
    assert math.isfinite(facts.value_error)
    save_snapshot(tmp_path / "home", run.loop)
    again = start(rewarded)
    assert "continued" in load_snapshot(tmp_path / "home", again.loop)
    assert again.loop.memory_writer.reward_memories[0].sidecar.num_writes == facts.num_bound


def test_a_snapshot_from_before_the_sidecar_loads(start, rewarded) -> None:
    memory = start(rewarded).loop.memory_writer.reward_memories[0]
    memory.load_state({})
    assert memory.sidecar.num_writes == 0


def test_a_run_without_a_reward_has_no_sidecar_and_the_digest_of_before(start, settings) -> None:
    run = start(settings())
    assert run.loop.memory_writer.reward_memories == {}
    report = run.loop.tick()
    defaults = MemoryFacts()
    for name in ADDED_MEMORY:
        value, default = getattr(report.facts.memory, name), getattr(defaults, name)
        assert value == default or (math.isnan(value) and math.isnan(default))
