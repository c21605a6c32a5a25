"""Dreams of a body: copies of the environments in a night, and what they change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sage.app.config.sage_config import SageConfig, build_config
from sage.app.config.yaml_file import YamlDocument
from sage.app.dreams.bodies import MIND_NAME, PLAN_NAME, BodyDreamer, dream_config, open_dream
from sage.app.session.build import Run, build_run
from sage.app.terminal.errors import UserError
from sage.errors import DataError
from sage.mailbox.clock import ManualClock
from sage.runtime.report import Event, SleepOutcome, SleepReport, TickReport
from sage.sensors.environments.gymnasium_world import GymnasiumConfig
from sage.sensors.environments.mujoco.mujoco_world import MujocoConfig

NUM_EXAMINED, DREAM_TICKS = 4, 40


def config(**sections: Any) -> SageConfig:
    data = {
        "sensors": [{"kind": "memory", "name": "recall"}],
        "model": {"hidden_size": 16, "num_heads": 2, "H_cycles": 1, "L_cycles": 1},
        "budget": {"segments": 1},
        "environments": [{"kind": "key_door", "name": "room", "max_steps": 8, "size": 3}],
        "policy": {"rules": [{"decision": "allow", "effect": "simulated", "target": "world"}]},
        "practice": {"window_ticks": 4, "burn_in_ticks": 0, "batch_size": 4},
        "sleep": {"first_after_secs": 5, "every_secs": 1000, "num_steps": 2},
        "dreams": {"ticks": DREAM_TICKS, "num_examined": NUM_EXAMINED},
        **sections,
    }
    return build_config(YamlDocument(data=data, source="test.yaml"))


class Nights:
    """An instrument that keeps the reports of nights that took place."""

    def __init__(self) -> None:
        self.slept: list[SleepReport] = []

    def on_tick(self, report: TickReport) -> None: ...

    def on_sleep(self, report: SleepReport) -> None:
        if report.outcome is not SleepOutcome.SKIPPED:
            self.slept.append(report)

    def on_event(self, event: Event) -> None: ...


def weights_of(run: Run) -> torch.Tensor:
    return torch.cat([weight.flatten() for weight in run.loop.reasoner.model.state_dict().values()]).clone()


def test_episodes_are_examined_and_practised_in_copies(tmp_path: Path) -> None:
    run = build_run(config(), ManualClock(), directory=tmp_path / "sleep")
    run.open()
    try:
        run.loop.run(num_ticks=40)
        dreamer = BodyDreamer(config(), tmp_path, build_run)
        dreamer.bind(run.loop)
        folder, ticks = tmp_path / "night", run.loop.tick_count
        dreamer.prepare(folder, seed=3)
        dream = dreamer.open(folder)
        model, before = run.loop.reasoner.model, weights_of(run)
        episodes, again = dream.examine(model), dream.examine(model)
        assert np.array_equal(episodes.returns, again.returns)
        assert len(episodes.returns) == NUM_EXAMINED
        assert np.isnan(episodes.successes).all()  # this room states no success
        assert torch.equal(weights_of(run), before)
        dreamt = dream.practise(model)
        assert (dreamt.num_ticks, dreamt.num_failed) == (DREAM_TICKS, 0)
        assert 0 < dreamt.num_steps <= dreamer.num_steps
        assert not torch.equal(weights_of(run), before)
        assert run.loop.tick_count == ticks
        assert sorted(path.name for path in folder.iterdir()) == [MIND_NAME, PLAN_NAME]
        plan = folder / PLAN_NAME
        plan.write_text(plan.read_text().replace('"seed": 3', '"seed": 4'))
        with pytest.raises(DataError, match="damaged"):
            open_dream(folder, build_run)
    finally:
        run.close()
    assert open_dream(tmp_path, build_run) is None


@pytest.mark.slow  # 20 s: until a night has readings to examine
def test_a_night_begins_with_a_dream(tmp_path: Path) -> None:
    nights = Nights()
    run = build_run(config(), ManualClock(), directory=tmp_path / "sleep", instruments=[nights])
    run.open()
    try:
        while run.loop.tick_count < 2000 and not nights.slept:
            run.loop.run(num_ticks=20)
        (report,) = nights.slept
        assert f"{DREAM_TICKS} dreamed ticks" in report.reason
        assert f"of {NUM_EXAMINED} episodes" in report.reason
        assert report.num_steps > 2
        version = int(report.outcome is SleepOutcome.ACCEPTED)
        assert run.loop.between_ticks.weights_version == version
    finally:
        run.close()


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        (
            {
                "effectors": [{"kind": "null", "name": "other"}],
                "policy": {"rules": [{"decision": "allow", "effect": "*", "target": "*"}]},
            },
            "not those of its perturbed environments: give 0",
        ),
        (
            {"environments": [], "sensors": [{"kind": "synthetic", "name": "s"}]},
            "no environment that offers perturbed copies",
        ),
    ],
)
def test_a_run_whose_sources_cannot_be_copied_is_refused_in_one_line(
    sections: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"^dreams\.ticks is 40") as raised:
        build_run(config(**sections), ManualClock(), directory=tmp_path / "sleep")
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_dream_has_perturbed_copies_and_neither_nights_nor_dreams_of_its_own() -> None:
    dreamed = dream_config(config(), 0.3, 7)
    (entry,) = dreamed.environments
    assert entry.config.seed == 7
    assert not dreamed.sleep.enabled
    assert dreamed.dreams.ticks == 0
    assert dreamed.practice.learning_rate == config().practice.learning_rate * 0.5
    arm = MujocoConfig().perturbed(0.3, 7)
    assert (arm.seed, arm.perturbation) == (7, 0.3)
    assert arm.perturbed(0.0, 8).perturbation == 0.3  # a copy of a world that varies by itself varies too
    assert GymnasiumConfig(id="CartPole-v1").perturbed(0.3, 7).seed == 7
