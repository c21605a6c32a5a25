"""The scripted policy does every task, which shows that each can be done and that success is measured."""

from __future__ import annotations

import numpy as np
import pytest

from sage.sensors.environments.mujoco.mujoco_world import MujocoConfig, MujocoWorld
from sage.sensors.environments.mujoco.scripted import ScriptedPolicy

pytest.importorskip("mujoco")

#: The least share of episodes; a push may be blocked by the edge of the workspace.
LEAST = {
    "reach the green ball": 1.0,
    "push the cube to the left": 0.6,
    "push the cube away": 0.8,
    "pick up the cube and place it on the pad": 0.8,
}


def share_of(instruction: str, num: int, *, is_scripted: bool = True) -> float:
    world = MujocoWorld(MujocoConfig(instructions=(instruction,), camera=0, max_steps=80))
    world.open()
    world.reset(0)
    policy, still = ScriptedPolicy(world), np.array([0, 0, 0, 1], dtype=np.float32)
    ended: list[bool] = []
    while len(ended) < num:
        step = world.step(policy.act() if is_scripted else still)
        if step.is_over or step.is_cut:
            ended.append(step.is_success)
            world.reset(None)
    return float(np.mean(ended))


@pytest.mark.parametrize("instruction", LEAST)
def test_it_does_the_task(instruction: str) -> None:
    assert share_of(instruction, 10) >= LEAST[instruction]


@pytest.mark.parametrize("instruction", LEAST)
def test_an_arm_that_stands_still_does_none(instruction: str) -> None:
    assert share_of(instruction, 4, is_scripted=False) == 0.0


def test_a_cube_that_is_pushed_onto_the_pad_is_not_placed() -> None:
    world = MujocoWorld(MujocoConfig(instructions=("pick up the cube and place it on the pad",), camera=0))
    world.open()
    world.reset(0)
    simulation = world.simulation
    pad = simulation.place_of("pad")
    simulation.reset(np.array([0.0, 1.2, -1.6]), {"pad": pad, "cube": pad + np.array([0.0, 0.0, 0.02])})
    world.work.note(simulation)
    assert not world.work.is_done(simulation)
    world.work.was_lifted = True
    assert world.work.is_done(simulation)
