"""A small robot arm in MuJoCo (kind: mujoco), with the extra `robot`.

`{kind: mujoco, name: arm, instructions: [reach the red ball]}` has the sensors arm.joints, arm.touch,
arm.instruction, arm.target, arm.camera, arm.reward, arm.reset and arm.success and the effector arm.action:
the speeds of three joints and the opening of the gripper.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sage.sensors.contract import SensorContext
from sage.sensors.environment import Baseline
from sage.sensors.environments.mujoco.mujoco_world import MujocoConfig, MujocoWorld
from sage.sensors.environments.mujoco.scripted import ScriptedPolicy
from sage.sensors.environments.stepped import SteppedEnvironment

#: Added to the seed of the world in which baselines are measured.
_APART = 1_000_003


class MujocoEnvironment(SteppedEnvironment):
    """The arm as an Environment. SensorUnavailable where mujoco is missing, InputError for an instruction
    that names no goal and for an empty workspace. Where no GL library renders there is no camera.
    """

    Config = MujocoConfig

    def __init__(self, config: MujocoConfig, context: SensorContext) -> None:
        world = MujocoWorld(config)
        super().__init__(config, context, world, has_success=True)
        self._arm_config = config
        self._world = world
        self.missing: tuple[tuple[str, str], ...] = world.missing

    def draw_from(self, seed: int) -> None:
        """The episodes after the one under way are those of a world with this seed, for comparisons."""
        self._world.draw_from(seed)

    def baselines(self, num_episodes: int) -> tuple[Baseline, ...]:
        """Uniformly random actions, and the scripted policy, which reads the simulation's own state."""
        settings = {"camera": 0, "seed": (self._arm_config.seed + _APART) % 2**31}
        config = self._arm_config.model_copy(update=settings)
        return tuple(
            Baseline(policy=policy, num_succeeded=sum(outcomes), num_episodes=num_episodes)
            for policy, outcomes in (
                (policy, play(config, policy, num_episodes)) for policy in ("random", "scripted")
            )
        )


def play(config: MujocoConfig, policy: str, num_episodes: int) -> list[bool]:
    """Whether each episode of "random" or "scripted" reached its goal."""
    world = MujocoWorld(config)
    world.open()
    world.reset(config.seed)
    act = _random_policy(world, config.seed) if policy == "random" else ScriptedPolicy(world).act
    outcomes: list[bool] = []
    while len(outcomes) < num_episodes:
        step = world.step(act())
        if step.is_over or step.is_cut:
            outcomes.append(step.is_success)
            world.reset(None)
    world.close()
    return outcomes


def _random_policy(world: MujocoWorld, seed: int) -> Callable[[], np.ndarray]:
    random, size = np.random.default_rng(seed), len(world.control.low)
    return lambda: random.uniform(-1.0, 1.0, size).astype(np.float32)
