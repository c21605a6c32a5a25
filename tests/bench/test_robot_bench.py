"""The benchmark of the arm: paired intervals, kept trials, and a small run of each kind of arm."""

from __future__ import annotations

from pathlib import Path

import _robot_arms
import numpy as np
import pytest
import robot
from _robot_arms import Trial, run_arm

SMALL = (
    "environments.arm.camera=0",
    "budget.segments=1",
    "environments.arm.max_steps=4",
    "sleep.enabled=false",
)


@pytest.mark.parametrize(
    "arm", [pytest.param("one_segment", marks=pytest.mark.slow), "linear", "random", "scripted"]
)
def test_an_arm_is_examined_on_whole_episodes(arm: str) -> None:
    pytest.importorskip("mujoco")
    trial = run_arm(arm, 0, num_ticks=60, num_episodes=3, overrides=SMALL)
    assert len(trial.examined) == 3
    assert (len(trial.learned) > 5) == (arm in ("one_segment", "linear"))
    assert trial.num_ticks == (0 if arm in ("random", "scripted") else 60)


def test_all_arms_have_the_same_episodes() -> None:
    """The scripted policy succeeds only where a target is near enough: so does it in each run."""
    pytest.importorskip("mujoco")
    first, again = (run_arm("scripted", 3, num_ticks=1, num_episodes=8, overrides=SMALL) for _ in range(2))
    assert first.examined == again.examined


def test_a_difference_is_paired_and_holds_its_interval() -> None:
    random = np.random.default_rng(0)
    one = {seed: list(random.random(50) < 0.8) for seed in range(5)}
    other = {seed: list(random.random(50) < 0.1) for seed in range(5)}
    found = robot.difference(one, other)
    assert found is not None
    mean, low, high = found
    assert low < mean < high
    assert low > 0.5
    same = robot.difference(one, one)
    assert same == (0.0, 0.0, 0.0)
    assert robot.difference(one, {}) is None


def test_bars_are_owed_unless_the_run_is_whole() -> None:
    trials = [
        Trial(arm, 0, examined=[arm == "hrm"] * 4, learned=[False] * 3 + [True] * 6) for arm in robot.ARMS
    ]
    assert [bar.is_met for bar in robot.bars_of(trials, is_whole=False)] == [None, None]
    assert [bar.is_met for bar in robot.bars_of(trials, is_whole=True)] == [True, True]


def test_a_trial_is_kept_for_the_same_settings_alone(tmp_path: Path) -> None:
    path, settings = tmp_path / "hrm-0.json", {"num_ticks": 5, "overrides": ("a=1",)}
    trial = Trial("hrm", 0, examined=[True, False])
    assert robot.kept_trial(path, settings) is None
    robot.keep_trial(path, trial, settings)
    assert robot.kept_trial(path, settings) == trial
    assert robot.kept_trial(path, settings | {"num_ticks": 6}) is None


def test_a_trial_of_another_configuration_is_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_robot_arms, "run_arm", lambda arm, seed, **_: Trial(arm, seed, cpu_secs=1.0))
    settings = {"num_ticks": 5, "num_episodes": 2, "overrides": ()}
    changed = tmp_path / "changed.yaml"
    changed.write_text(_robot_arms.CONFIG.read_text() + "seed: 7\n")
    (first,) = robot.run_trials(["hrm"], [0], settings, tmp_path)
    monkeypatch.setattr(_robot_arms, "run_arm", lambda arm, seed, **_: Trial(arm, seed, cpu_secs=2.0))
    (kept,) = robot.run_trials(["hrm"], [0], settings, tmp_path)
    monkeypatch.setattr(_robot_arms, "CONFIG", changed)
    (other,) = robot.run_trials(["hrm"], [0], settings, tmp_path)
    assert [each.cpu_secs for each in (first, kept, other)] == [1.0, 1.0, 2.0]
