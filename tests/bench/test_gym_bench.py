"""The benchmark of learning from reward: its parts by small cases; a whole run needs gymnasium."""

from __future__ import annotations

import _gym_loop
import _gym_mlp
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
