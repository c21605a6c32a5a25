"""The world of the arm: its settings, its limits, its views and its episodes.

Invariants: equal seeds and equal actions give equal readings on one machine; an action never moves a joint
out of its range or the tip out of the workspace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from sage.errors import InputError
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.environments.mujoco import arm
from sage.sensors.environments.mujoco.instructions import GOAL_CHANNELS, goal_of
from sage.sensors.environments.mujoco.rendering import find_rendering
from sage.sensors.environments.mujoco.scene import JOINTS, TOUCHES
from sage.sensors.environments.mujoco.simulation import Simulation
from sage.sensors.environments.mujoco.tasks import Work, draw_places
from sage.sensors.environments.stepped import Control, Step, SteppedConfig, View

if TYPE_CHECKING:
    from typing_extensions import Self

#: Reward of a metre nearer, and of reaching the goal.
PROGRESS_REWARD, SUCCESS_REWARD = 10.0, 1.0
#: How much the posture at the start of an episode varies, in rad.
START_NOISE = 0.2


class MujocoConfig(SteppedConfig):
    """instructions: of which each episode has one, drawn.  camera: side of the image in pixels, 0 for none.
    tracker: a sensor NAME.target with the offsets from the hand to the object and on to its destination.
    gripper: the effector opens and closes it, else it stays open.

    control_secs: simulated time of one action.  max_steps: of an episode.  max_speed: of a joint, rad/s.
    slew: largest change of a joint's command from one action to the next, of a range of 2.
    radius, height: least and largest distance of the tip from the base's axis and above the table, in m.
    success_radius: in m.
    perturbation: 0 to 1: each episode has masses, friction, damping and gains of the joints times factors
    between 1 / (1 + perturbation) and 1 + perturbation, and a start that varies more.
    """

    kind: Literal["mujoco"] = "mujoco"
    instructions: tuple[str, ...] = Field(("reach the red ball",), min_length=1)
    camera: Literal[0, 48, 64, 84, 128] = 64
    tracker: bool = True
    gripper: bool = True
    control_secs: float = Field(0.1, ge=0.01, le=1)
    max_steps: int = Field(40, ge=1, le=10_000)
    max_speed: float = Field(1.5, gt=0, le=4)
    slew: float = Field(2.0, gt=0, le=2)
    radius: tuple[float, float] = (0.12, 0.45)
    height: tuple[float, float] = (0.015, 0.40)
    success_radius: float = Field(0.04, gt=0, le=0.2)
    perturbation: float = Field(0.0, ge=0, le=1)
    timeout_secs: float = Field(1.0, gt=0)

    def perturbed(self, amount: float, seed: int) -> Self:
        return self.model_copy(update={"seed": seed, "perturbation": max(amount, self.perturbation)})


class MujocoWorld:
    """A StepWorld: the arm, its objects and one task at a time. missing: see PartialEnvironment."""

    def __init__(self, config: MujocoConfig) -> None:
        self._config = config
        try:
            self._goals = tuple(goal_of(text) for text in config.instructions)
        except InputError as error:
            raise InputError(f"{config.name}: {error}") from None
        self._workspace = arm.Workspace(radius=config.radius, height=config.height)
        _check_workspace(config, self._workspace)
        self.simulation = Simulation(config.name, pixels=config.camera or 64)
        self._backend: str | None = None
        self.missing: tuple[tuple[str, str], ...] = ()
        if config.camera:
            rendering = find_rendering()
            self._backend = rendering.backend
            if self._backend is None:
                self.missing = ((f"{config.name}.camera", rendering.reason),)
        self._random = np.random.default_rng(config.seed)
        self._targets = arm.HOME.copy()
        self._command = np.zeros(len(JOINTS))
        self._num_steps = 0
        self._remaining = 0.0
        self.work = Work(self._goals[0], np.zeros(3), config.success_radius)

    @property
    def views(self) -> tuple[View, ...]:
        views = [
            _vector("joints", ("position", "rad"), (*JOINTS, "gripper", *(f"{j}_speed" for j in JOINTS))),
            _vector("touch", ("force", "N"), TOUCHES),
            _vector("instruction", ("instruction", "1"), GOAL_CHANNELS),
        ]
        if self._config.tracker:
            views.append(_vector("target", ("offset", "m"), _TARGET_CHANNELS))
        if self._backend is not None:
            side = self._config.camera
            tensor = TensorSpec(shape=(side, side, 3), dtype="uint8")
            views.append(View(name="camera", tensor=tensor, observes=("image", "level")))
        return tuple(views)

    @property
    def control(self) -> Control:
        channels = (*JOINTS, "gripper") if self._config.gripper else JOINTS
        num = len(channels)
        return Control(low=(-1.0,) * num, high=(1.0,) * num, channels=channels)

    @property
    def targets(self) -> np.ndarray:
        """(3,) where the joints are driven to."""
        return self._targets.copy()

    @property
    def step_angle(self) -> float:
        """How far a joint turns in one step at full speed, in rad."""
        return self._config.max_speed * self._config.control_secs

    def open(self) -> None:
        if self._backend is not None:
            self.simulation.open_camera(self._backend)

    def reset(self, seed: int | None) -> tuple[np.ndarray, ...]:
        if seed is not None:
            self.draw_from(seed)
        goal = self._goals[int(self._random.integers(len(self._goals)))]
        perturbation = self._config.perturbation
        if perturbation:
            self.simulation.perturb(self._random, perturbation)
        noise = START_NOISE * (1 + perturbation)
        self._targets = arm.HOME + self._random.uniform(-noise, noise, len(JOINTS))
        self._command = np.zeros(len(JOINTS))
        self.simulation.reset(self._targets, draw_places(self._random))
        self._num_steps = 0
        self.work = Work(goal, self.simulation.place_of(goal.object), self._config.success_radius)
        self._remaining = self.work.remaining(self.simulation)
        return self._views()

    def draw_from(self, seed: int) -> None:
        """What is random starts again with the next episode."""
        self._random = np.random.default_rng(seed)

    def step(self, values: np.ndarray) -> Step:
        done = self._drive(values)
        self._num_steps += 1
        self.work.note(self.simulation)
        before, self._remaining = self._remaining, self.work.remaining(self.simulation)
        is_done = self.work.is_done(self.simulation)
        return Step(
            views=self._views(),
            reward=PROGRESS_REWARD * (before - self._remaining) + SUCCESS_REWARD * is_done,
            is_over=is_done,
            is_cut=self._num_steps >= self._config.max_steps,
            is_success=is_done,
            done=done,
        )

    def close(self) -> None:
        self.simulation.close()

    def _drive(self, values: np.ndarray) -> np.ndarray:
        """Move as far as the limits allow; returns what was done, as `values`."""
        wanted = values[: len(JOINTS)].astype(np.float64)
        slew = self._config.slew
        command = np.clip(wanted, self._command - slew, self._command + slew)
        targets = arm.limited(self._targets, self._targets + command * self.step_angle, self._workspace)
        self._command = (targets - self._targets) / self.step_angle
        opening = (float(values[len(JOINTS)]) + 1.0) / 2.0 if self._config.gripper else 1.0
        self.simulation.advance(targets, opening, self._config.control_secs)
        self._targets = targets
        # A command that nothing limited comes back bit for bit.
        was_limited = np.abs(self._command - wanted) > 1e-6
        joints = np.where(was_limited, self._command, wanted)
        return np.concatenate((joints, values[len(JOINTS) :])).astype(np.float32)

    def _views(self) -> tuple[np.ndarray, ...]:
        simulation = self.simulation
        joints = simulation.joints
        state = np.concatenate((joints, [simulation.opening], simulation.speeds))
        views = [state.astype(np.float32), simulation.touch.astype(np.float32), self.work.goal.vector]
        if self._config.tracker:
            place = simulation.place_of(self.work.goal.object)
            offsets = (place - simulation.tip, self.work.destination(simulation) - place)
            views.append(
                np.concatenate([arm.to_hand(each, joints[0]) for each in offsets]).astype(np.float32)
            )
        if self._backend is not None:
            views.append(simulation.render())
        return tuple(views)


_TARGET_CHANNELS = tuple(
    f"{what}_{axis}" for what in ("object", "destination") for axis in ("out", "left", "up")
)


def _vector(name: str, observes: tuple[str, str], channels: tuple[str, ...]) -> View:
    tensor = TensorSpec(shape=(len(channels),), dtype="float32")
    return View(name=name, tensor=tensor, observes=observes, channels=channels)


def _check_workspace(config: MujocoConfig, workspace: arm.Workspace) -> None:
    for name, (low, high) in (("radius", config.radius), ("height", config.height)):
        if not 0 <= low < high <= 1:
            raise InputError(
                f"{config.name}: {name} is {low:g} to {high:g}: give two numbers of m from 0 to 1, the least"
                " first"
            )
    if workspace.excess(arm.tip_of(arm.HOME)) > 0:
        radius, _, height = arm.tip_of(arm.HOME)
        raise InputError(
            f"{config.name}: radius {config.radius} and height {config.height} leave out the home posture,"
            f" {radius:.2f} m out and {height:.2f} m high: widen them"
        )
