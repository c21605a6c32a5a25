"""The benchmark of learning from reward: its parts by small cases; a whole run needs gymnasium."""

from __future__ import annotations

from pathlib import Path

import _gym_loop
import _gym_mlp
import gym
import pytest
from _gym_loop import Limits, Trial

ROOM = ["environments.cart.enabled=false", "environments.room.enabled=true", "environments.room.max_steps=6"]
LIMITS = Limits(cpu_secs=0.2, enough=99.0, num_episodes=2, max_ticks=200)


def nothing(_: Trial) -> None: ...


def test_both_arms_learn_and_are_examined_on_whole_episodes() -> None:
    loop = _gym_loop.train(ROOM, 0, LIMITS, nothing)
    assert len(loop.returns) == 2
    assert loop.cpu_secs >= LIMITS.cpu_secs
    mlp = _gym_mlp.train(ROOM, 0, loop.num_parameters, LIMITS, nothing)
    assert len(mlp.returns) == 2
    assert mlp.num_steps > 0
    assert abs(mlp.num_parameters / loop.num_parameters - 1) < 0.1
    random = _gym_mlp.train(ROOM, 0, loop.num_parameters, LIMITS, nothing, learns=False)
    assert (random.num_steps, random.num_parameters, len(random.returns)) == (0, 0, 2)


def test_a_life_that_is_good_enough_stops() -> None:
    at_once = Limits(cpu_secs=60.0, enough=0.0, num_episodes=1, max_ticks=100)
    trial = _gym_mlp.train(ROOM, 0, 2000, at_once, nothing)
    assert _gym_loop.NUM_RECENT <= trial.num_episodes < 100
    assert trial.median == pytest.approx(trial.returns[0])


def test_the_bar_is_of_the_lowest_seed_and_owed_without_trials() -> None:
    trials = [Trial("loop", seed, 10, returns=[500.0 - seed] * 3) for seed in range(5)]
    (bar,) = gym.bars_of([*trials, Trial("plain MLP", 0, 10, returns=[9.0])])
    assert (bar.value, bar.is_met) == (496.0, True)
    (owed,) = gym.bars_of([])
    assert owed.is_met is None
    (missed,) = gym.bars_of([*trials[:4], Trial("loop", 4, 10)])
    assert missed.is_met is False, "a seed without an examined episode is not left out"
    gym.trials_table(trials)
    gym.arms_table(trials)
    gym.curves_table(trials)


def test_a_kept_trial_is_read_until_the_limits_change(tmp_path: Path) -> None:
    runs: list[int] = []

    def run() -> Trial:
        runs.append(1)
        return Trial("loop", 0, 10, curve=[(1.0, 20, 9.5)], returns=[4.0])

    path = tmp_path / "runs" / "cart-loop-0.json"
    first = gym.kept(path, LIMITS, run)
    assert gym.kept(path, LIMITS, run) == first
    assert len(runs) == 1
    gym.kept(path, Limits(cpu_secs=1.0, enough=99.0), run)
    gym.kept(None, LIMITS, run)
    assert len(runs) == 3
