"""The loop in a world that moves by its actions: episodes, equal runs, and practice on what it did."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from sage.app.config.sage_config import SageConfig
from sage.app.session.build import Run
from sage.runtime.report import Event, SleepReport, TickReport
from sage.runtime.snapshot import load_snapshot, save_snapshot
from sage.sensors.environment import CUT_OFF

NUM_TICKS = 44
Start = Callable[..., Run]
Settings = Callable[..., SageConfig]


class Reports:
    def __init__(self) -> None:
        self.ticks: list[TickReport] = []

    def on_tick(self, report: TickReport) -> None:
        self.ticks.append(report)

    def on_sleep(self, report: SleepReport) -> None: ...

    def on_event(self, event: Event) -> None: ...


def run_room(start: Start, settings: Settings, **changed: object) -> tuple[Run, list[TickReport]]:
    """A room whose episodes are cut off after four steps."""
    config = settings(
        sensors=[],
        environments=[{"kind": "key_door", "name": "room", "max_steps": 4}],
        practice={"every_ticks": 4, "batch_size": 8, "passes": 2, "window_ticks": 4, "burn_in_ticks": 0},
        budget={"segments": 1, "practice_steps": 2},
        policy={"rules": [{"decision": "allow", "effect": "simulated", "target": "world"}]},
        **changed,
    )
    reports = Reports()
    run = start(config, instruments=(reports,))
    run.loop.run(num_ticks=NUM_TICKS)
    return run, reports.ticks


def test_episodes_end_start_again_and_are_reported(start: Start, settings: Settings) -> None:
    run, ticks = run_room(start, settings)
    worlds = [tick.facts.acting[0] for tick in ticks]
    assert {world.world for world in worlds} == {"room"}
    assert [index for index, world in enumerate(worlds) if world.reset == CUT_OFF] == [
        *range(0, NUM_TICKS, 4)
    ]
    assert worlds[-1].num_episodes == (NUM_TICKS - 1) // 4
    assert run.loop.reasoner.num_resets == 0  # not a fault
    actions = {tick.facts.actions[0].done for tick in ticks}
    assert len(actions) > 1
    assert all(sorted(action) == [-1.0, -1.0, -1.0, 1.0] for action in actions)


def test_practice_meets_resets_and_what_was_done(start: Start, settings: Settings) -> None:
    run, _ = run_room(start, settings)
    assert run.loop.between_ticks.practice.num_steps > 4
    window = run.loop.memory_writer.transitions.sample(64, 4, torch.Generator().manual_seed(0))
    assert window is not None
    assert window.reset is not None
    assert (window.action.sum(-1) == -2.0).all()
    assert window.reward.isfinite().all()


def test_equal_seeds_act_alike_and_another_seed_otherwise(start: Start, settings: Settings) -> None:
    def digests(seed: int) -> list[str]:
        _, ticks = run_room(start, settings, seed=seed)
        return [tick.facts.digest() for tick in ticks]

    first = digests(1)
    assert digests(1) == first
    assert digests(2) != first


def test_without_exploring_it_acts_by_the_mode(start: Start, settings: Settings) -> None:
    _, ticks = run_room(start, settings, acting={"explores": False, "action_weight": 0.0})
    assert len({tick.facts.actions[0].done for tick in ticks}) == 1


def test_two_worlds_have_their_own_returns_ends_and_credit(
    start: Start, settings: Settings, tmp_path: Path
) -> None:
    """Episodes are cut off after 4 and 70 steps: too few, and enough, for a return of the sidecar."""
    config = settings(
        sensors=[],
        environments=[
            {"kind": "key_door", "name": "short", "max_steps": 4},
            {"kind": "key_door", "name": "long", "max_steps": 70},
        ],
        practice={"every_ticks": 4, "batch_size": 8, "passes": 2, "window_ticks": 4, "burn_in_ticks": 0},
        budget={"segments": 1, "practice_steps": 2},
        policy={"rules": [{"decision": "allow", "effect": "simulated", "target": "world"}]},
    )
    reports = Reports()
    run = start(config, instruments=(reports,))
    run.loop.run(num_ticks=150)
    front, writer = run.loop.reasoner.model.front, run.loop.memory_writer
    assert (front.num_worlds, front.source_worlds) == (2, (0,) * 4 + (1,) * 4)
    assert front.action_worlds == (0,) * 4 + (1,) * 4
    window = writer.transitions.sample(64, 12, torch.Generator().manual_seed(0))
    assert window is not None
    assert window.reset is not None
    assert window.reward.shape == window.reset.shape == (64, 13, 2)
    starts = (window.reset > 0).sum((0, 1))
    assert 0 < starts[1] < starts[0]
    assert run.loop.between_ticks.practice.num_steps > 4
    assert all(math.isfinite(tick.facts.value) for tick in reports.ticks)
    assert writer.reward_memories[1].sidecar.num_writes > 60
    save_snapshot(tmp_path / "home", run.loop)
    again = start(config)
    assert "continued" in load_snapshot(tmp_path / "home", again.loop)
    found = again.loop.memory_writer.reward_memories
    for world, memory in writer.reward_memories.items():
        for name, array in memory.state().items():
            np.testing.assert_array_equal(found[world].state()[name], array)
