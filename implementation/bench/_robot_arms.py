"""The arms of `sage bench robot`: what learned in the loop, and two policies that do not learn.

Invariant: every arm is examined on the same episodes of one seed, which no arm learned from, with practice,
sleep and exploration off. The curve is of the episodes while it learned.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import harness

from sage.app.config.sage_config import SageConfig, load_config
from sage.app.dreams.episodes import EpisodeRecord
from sage.app.session.build import build_run
from sage.mailbox.clock import ManualClock
from sage.sensors.contract import SensorContext
from sage.sensors.environments.mujoco.mujoco_environment import MujocoEnvironment, play
from sage.sensors.environments.mujoco.mujoco_world import MujocoConfig

CONFIG = harness.ROOT / "configs" / "robot.yaml"
LEARNERS: dict[str, tuple[str, ...]] = {
    "hrm": (),
    "one_segment": ("budget.segments=1",),
    "linear": ("budget.segments=1", "model.kind=linear"),
    "dreams": ("sleep.first_after_secs=75", "sleep.every_secs=75", "dreams.ticks=1000"),
}
POLICIES = ("random", "scripted")
ARMS = (*LEARNERS, *POLICIES)
USUAL_ARMS = tuple(arm for arm in ARMS if arm != "dreams")
CHUNK_TICKS = 50
#: Of the episodes of an examination; the seed of the arm is added.
EXAM_SEED = 500_000


@dataclass(slots=True)
class Trial:
    """What one arm did with one seed. learned: whether each episode while it learned reached its goal.
    examined: of the examination.  returns: of the episodes while it learned.
    """

    arm: str
    seed: int
    num_parameters: int = 0
    num_ticks: int = 0
    num_steps: int = 0
    cpu_secs: float = 0.0
    learned: list[bool] = field(default_factory=list)
    returns: list[float] = field(default_factory=list)
    examined: list[bool] = field(default_factory=list)

    def third(self, which: int) -> float | None:
        """Share of the first (0) or the last (2) third of the episodes while it learned."""
        num = len(self.learned) // 3
        part = self.learned[which * num : (which + 1) * num] if which < 2 else self.learned[-num:]
        return sum(part) / num if num else None

    @property
    def success(self) -> float | None:
        return sum(self.examined) / len(self.examined) if self.examined else None


def run_arm(arm: str, seed: int, *, num_ticks: int, num_episodes: int, overrides: tuple[str, ...]) -> Trial:
    """One trial. overrides: of the configuration, for every arm."""
    if arm in POLICIES:
        config = arm_config(load_config(CONFIG, [*overrides]))
        config = config.model_copy(update={"camera": 0, "seed": EXAM_SEED + seed})
        started = time.process_time()
        examined = play(config, arm, num_episodes)
        return Trial(arm, seed, examined=examined, cpu_secs=time.process_time() - started)
    return learn(arm, seed, num_ticks, num_episodes, (*overrides, *LEARNERS[arm]))


def arm_config(config: SageConfig) -> MujocoConfig:
    (entry,) = (entry for entry in config.enabled_environments if entry.kind == "mujoco")
    assert isinstance(entry.config, MujocoConfig)
    return entry.config


def learn(
    arm: str,
    seed: int,
    num_ticks: int,
    num_episodes: int,
    settings: tuple[str, ...],
    *,
    cpu_secs: float = math.inf,
) -> Trial:
    """Learn for `num_ticks` ticks, or until so many CPU seconds are spent, and be examined. settings: of the
    configuration.
    """
    seeds = (f"seed={seed}", f"environments.arm.seed={seed}")
    config = load_config(CONFIG, [*settings, *seeds])
    outcomes, made = EpisodeRecord(), []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(_kept(made))
        run = build_run(config, ManualClock(), directory=folder / "sleep", instruments=[outcomes])
        stack.callback(run.close)
        run.open()
        weights = run.loop.reasoner.model.parameters()
        trial = Trial(arm, seed, num_parameters=sum(weight.numel() for weight in weights))
        started = time.process_time()
        while run.loop.tick_count < num_ticks and time.process_time() - started < cpu_secs:
            run.loop.run(num_ticks=min(CHUNK_TICKS, num_ticks - run.loop.tick_count))
        trial.cpu_secs = time.process_time() - started
        trial.num_ticks, trial.num_steps = run.loop.tick_count, run.loop.between_ticks.practice.num_steps
        trial.learned, trial.returns = [each > 0 for each in outcomes.successes], list(outcomes.returns)
        run.loop.actor.explores = False
        run.loop.between_ticks.practice.is_enabled = False
        made[-1].draw_from(EXAM_SEED + seed)
        first = len(outcomes.successes) + 1  # the episode under way is no part of the examination
        while len(outcomes.successes) < first + num_episodes:
            run.loop.run(num_ticks=CHUNK_TICKS)
        trial.examined = [each > 0 for each in outcomes.successes[first : first + num_episodes]]
    return trial


def _kept(made: list[MujocoEnvironment]) -> Any:
    """While it is entered, the environments that are made are kept in `made`."""
    construct = MujocoEnvironment.__init__

    def keep(self: MujocoEnvironment, config: MujocoConfig, context: SensorContext) -> None:
        construct(self, config, context)
        made.append(self)

    return mock.patch.object(MujocoEnvironment, "__init__", keep)


def rates(config: MujocoConfig, num_steps: int, backend: str | None) -> dict[str, float | None]:
    """Physics steps and images a second of CPU and of real time: of the arm's world, and of bare mujoco."""
    import mujoco
    import numpy as np

    from sage.sensors.environments.mujoco.arm import HOME
    from sage.sensors.environments.mujoco.mujoco_world import MujocoWorld
    from sage.sensors.environments.mujoco.scene import TIMESTEP_SECS

    world = MujocoWorld(config.model_copy(update={"camera": 0}))
    world.reset(0)
    inner = round(config.control_secs / TIMESTEP_SECS)
    still = np.zeros(len(world.control.low), dtype=np.float32)

    def step_world() -> None:
        if world.step(still).is_cut:
            world.reset(None)

    model, data = world.simulation.model, mujoco.MjData(world.simulation.model)
    data.qpos[:3] = data.ctrl[:3] = HOME
    found: dict[str, float | None] = {
        "world_physics_steps_per_cpu_sec": inner / _cpu_secs(step_world, num_steps),
        "bare_physics_steps_per_cpu_sec": inner
        / _cpu_secs(lambda: mujoco.mj_step(model, data, inner), num_steps),
        "world_images_per_sec": None,
        "bare_images_per_sec": None,
    }
    if backend is not None:
        found["world_images_per_sec"] = _world_images(world.simulation, backend, num_steps)
        found["bare_images_per_sec"] = bare_images(backend, config.camera or 64, num_steps)
    return found


def _world_images(simulation: Any, backend: str, num: int) -> float:
    simulation.open_camera(backend)
    try:
        simulation.render()
        started = time.perf_counter()
        for _ in range(num):
            simulation.render()
        return num / (time.perf_counter() - started)
    finally:
        simulation.close()


def bare_images(backend: str, pixels: int, num: int) -> float | None:
    """By mujoco's own Renderer in a process of its own; None where it fails."""
    import os
    import subprocess
    import sys

    code = (
        "import mujoco, sys, time; xml = sys.stdin.read();"
        "model = mujoco.MjModel.from_xml_string(xml); data = mujoco.MjData(model);"
        "mujoco.mj_forward(model, data);"
        f"renderer = mujoco.Renderer(model, {pixels}, {pixels});"
        "draw = lambda: (renderer.update_scene(data, camera='view'), renderer.render()); draw();"
        "started = time.perf_counter();"
        f"[draw() for _ in range({num})]; print({num} / (time.perf_counter() - started))"
    )
    from sage.sensors.environments.mujoco.scene import scene_xml

    done = subprocess.run(
        [sys.executable, "-c", code],
        input=scene_xml(pixels=pixels),
        env={**os.environ, "MUJOCO_GL": backend, "LP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return float(done.stdout.split()[0]) if done.returncode == 0 and done.stdout.split() else None


def _cpu_secs(work: Callable[[], object], num: int) -> float:
    work()
    started = time.process_time()
    for _ in range(num):
        work()
    return (time.process_time() - started) / num
