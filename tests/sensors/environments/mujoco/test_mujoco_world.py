"""The arm as an environment: the kit, limits, success, and how it works without a GL library."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from sage.errors import InputError
from sage.mailbox.clock import ManualClock
from sage.sensors.contract import SensorContext, SensorUnavailable
from sage.sensors.environment import CUT_OFF, ComparedEnvironment, PartialEnvironment
from sage.sensors.environments.mujoco.mujoco_environment import MujocoEnvironment
from sage.sensors.environments.mujoco.mujoco_world import MujocoConfig, MujocoWorld
from sage.sensors.environments.mujoco.rendering import find_rendering
from sage.sensors.testing.environment_conformance import (
    ENVIRONMENT_CHECKS,
    NUM_STEPS,
    EnvironmentBench,
    check_environment,
)

pytest.importorskip("mujoco")


def world_of(**settings: Any) -> MujocoWorld:
    world = MujocoWorld(MujocoConfig.model_validate({"camera": 0, **settings}))
    world.open()
    world.reset(0)
    return world


def test_it_keeps_the_contract(clock: ManualClock, context: SensorContext) -> None:
    config = MujocoConfig(name="arm", camera=0, max_steps=20)
    results = check_environment(lambda: MujocoEnvironment(config, context), clock=clock)
    assert [result.name for result in results] == list(ENVIRONMENT_CHECKS)
    assert not [f"{result.name}: {result.detail}" for result in results if not result.is_ok]


def test_with_a_camera_equal_actions_give_equal_readings(clock: ManualClock, context: SensorContext) -> None:
    if find_rendering().backend is None:
        pytest.skip(find_rendering().reason)
    config = MujocoConfig(name="arm", camera=48)
    bench = EnvironmentBench(make=lambda: MujocoEnvironment(config, context), clock=clock)
    # A GL library takes seconds to start: one check of the kit, which opens the world twice.
    detail = ENVIRONMENT_CHECKS["equal_actions_give_equal_readings"](bench)
    assert int(detail.split()[0]) > 8 * NUM_STEPS - 8


def test_its_sensors_without_a_gl_library(context: SensorContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "disable")
    made = MujocoEnvironment(MujocoConfig(name="arm"), context)
    assert isinstance(made, PartialEnvironment)
    assert made.missing == (("arm.camera", "MUJOCO_GL is disable"),)
    names = [sensor.spec.name for sensor in made.sensors()]
    assert names == [
        f"arm.{part}" for part in ("joints", "touch", "instruction", "target", "reward", "reset", "success")
    ]
    made.open()
    (effector,) = made.effectors()
    effector.open()
    assert not effector.apply(np.zeros(4, dtype=np.float32), 0).is_held
    made.close()


def test_equal_seeds_and_actions_give_equal_states_over_episodes() -> None:
    def states() -> list[list[float]]:
        world, random = world_of(max_steps=7, instructions=("push the cube away", "reach the pad")), 3
        rng = np.random.default_rng(random)
        found = []
        for _ in range(25):
            step = world.step(rng.uniform(-1, 1, 4).astype(np.float32))
            found.append([step.reward, *np.concatenate(step.views)])
            if step.is_over or step.is_cut:
                found.append(list(np.concatenate(world.reset(None))))
        return found

    first = states()
    assert first == states()
    assert len({len(each) for each in first}) == 2


def test_a_perturbed_world_varies_its_physics_within_the_limits_and_by_its_seed() -> None:
    def masses(world: MujocoWorld, seed: int) -> list[float]:
        world.reset(seed)
        return [float(each) for each in world.simulation.model.body_mass]

    usual, world = world_of(), world_of(perturbation=0.25)
    first = masses(world, 1)
    assert first == masses(world, 1) != masses(world, 2)
    for _ in range(20):  # factors are of the scene's own numbers, not of the last episode's
        world.reset(None)
        has_mass = usual.simulation.model.body_mass > 0
        ratios = world.simulation.model.body_mass[has_mass] / usual.simulation.model.body_mass[has_mass]
        assert ((ratios >= 1 / 1.25 - 1e-9) & (ratios <= 1.25 + 1e-9)).all()
        gains = world.simulation.model.actuator_gainprm[:, 0]
        assert np.allclose(gains, -world.simulation.model.actuator_biasprm[:, 1])
    for _ in range(10):
        assert np.isfinite(world.step(np.ones(4, dtype=np.float32)).reward)
    assert [view.name for view in world.views] == [view.name for view in usual.views]


def test_the_next_episodes_can_be_drawn_anew() -> None:
    first = [list(np.concatenate(views)) for views in (world_of().reset(9), world_of(seed=3).reset(9))]
    world = world_of()
    world.step(np.zeros(4, dtype=np.float32))
    world.draw_from(9)
    assert list(np.concatenate(world.reset(None))) == first[0] == first[1]


def test_what_was_really_done_comes_back_after_the_worlds_limits() -> None:
    world = world_of(slew=0.5)
    step = world.step(np.array([1.0, 0.25, -0.25, 1.0], dtype=np.float32))
    assert step.done is not None
    np.testing.assert_allclose(step.done, [0.5, 0.25, -0.25, 1.0])
    for _ in range(60):
        step = world.step(np.array([0.0, -1.0, 0.0, 1.0], dtype=np.float32))
        assert world.simulation.tip[2] > 0  # above the table, however long it is driven down
    assert step.done is not None
    assert step.done[1] == 0.0


def test_an_action_that_is_not_finite_moves_nothing(context: SensorContext) -> None:
    made = MujocoEnvironment(MujocoConfig(name="arm", camera=0), context)
    made.open()
    (effector,) = made.effectors()
    effector.open()
    joints = made.sensors()[0]
    joints.open()
    out = np.zeros(7, dtype=np.float32)
    assert joints.read_into(out) is not None
    action = effector.apply(np.array([np.nan, 0, 0, 0], dtype=np.float32), 0)
    assert action.is_held
    assert joints.read_into(out) is None  # no step was taken
    made.close()


def test_success_is_delivered_with_the_reset(context: SensorContext) -> None:
    made = MujocoEnvironment(MujocoConfig(name="arm", camera=0, max_steps=2, success_radius=0.2), context)
    made.open()
    sensors = {sensor.spec.name: sensor for sensor in made.sensors()}
    (effector,) = made.effectors()
    effector.open()
    seen = set()
    for _ in range(12):
        effector.apply(np.zeros(4, dtype=np.float32), 0)
        values = []
        for name in ("arm.reset", "arm.success"):
            out = np.zeros(1, dtype=np.float32)
            assert sensors[name].read_into(out) is not None
            values.append(float(out[0]))
        seen.add(tuple(values))
    made.close()
    assert seen == {(0.0, 0.0), (1.0, 1.0), (CUT_OFF, 0.0)}


BAD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "task": ({"instructions": ["dance"]}, InputError, "arm: instruction 'dance': names no goal"),
    "rate": ({"rate_hz": -1}, ValidationError, "rate_hz"),
    "camera": ({"camera": 65}, ValidationError, "camera"),
    "workspace": ({"radius": [0.4, 0.2]}, InputError, "arm: radius is 0.4 to 0.2: give two numbers"),
    "home": ({"height": [0.3, 0.4]}, InputError, "leave out the home posture"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_configuration_is_refused(name: str, context: SensorContext) -> None:
    settings, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        MujocoEnvironment(MujocoConfig.model_validate({"name": "arm", "camera": 0} | settings), context)


def test_without_mujoco_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(SensorUnavailable, match=r"pip install 'sage-runtime\[robot\]'"):
        world_of()


def test_the_scripted_baseline_is_above_the_random_one(context: SensorContext) -> None:
    made = MujocoEnvironment(MujocoConfig(name="arm", camera=0, seed=5), context)
    assert isinstance(made, ComparedEnvironment)
    random, scripted = made.baselines(10)
    assert (random.policy, scripted.policy) == ("random", "scripted")
    assert scripted.num_succeeded == scripted.num_episodes == 10
    assert random.num_succeeded < 5
    assert made.baselines(10) == (random, scripted)
