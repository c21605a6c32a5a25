"""A world that moves one step at each action, as an environment: its views, reward, reset and one effector.

`StepWorld` is what a world implements; `SteppedEnvironment` makes the endpoints. Invariants: the world moves
only in the effector's `apply`; a reading is delivered once, and describes one step; after the end of an
episode the same call starts the next one, and the reset reading says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sage.errors import InputError
from sage.mailbox.clock import Clock
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.contract import (
    Action,
    Effector,
    EffectorSpec,
    Modality,
    Reading,
    Sensor,
    SensorContext,
    SensorError,
    SensorSpec,
)
from sage.sensors.environment import CUT_OFF, ENDED, RESET_QUANTITY, REWARD_QUANTITY, SUCCESS_QUANTITY
from sage.sensors.environments.stepped_config import SteppedConfig as SteppedConfig

#: Names of a world's own sensors and effector, which a view cannot have.
RESERVED = ("reward", "reset", "success", "action")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One thing that a world shows. observes: (quantity, unit).  channels: a name for each element, or
    empty.
    """

    name: str
    tensor: TensorSpec
    observes: tuple[str, str]
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What a world takes: as EffectorSpec has it. choices: sizes of groups of channels of which the highest
    is chosen.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    channels: tuple[str, ...] = ()
    choices: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What followed an action. views: an array for each View.  is_over: the episode has ended in the world.
    is_cut: it was cut off, for example by a time limit.  is_success: an episode that ends with this step
    reached its goal.  done: (channels,) float32, what was really done where the world's own limits changed
    it, else None.
    """

    views: tuple[np.ndarray, ...]
    reward: float
    is_over: bool
    is_cut: bool
    is_success: bool = False
    done: np.ndarray | None = None


class StepWorld(Protocol):
    """A world without a clock. Its errors are raised as SensorError, or are wrapped by the driver."""

    @property
    def views(self) -> tuple[View, ...]: ...

    @property
    def control(self) -> Control: ...

    def open(self) -> None:
        """Take what it needs; SensorUnavailable with a remedy."""
        ...

    def reset(self, seed: int | None) -> tuple[np.ndarray, ...]:
        """The first views of an episode; with a seed everything random starts again."""
        ...

    def step(self, values: np.ndarray) -> Step:
        """values: (channels,) float32; of a group of choices one is 1, the others are -1."""
        ...

    def close(self) -> None:
        """Safe to call twice."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The state of a world after a step, never changed once made, so that threads may share it.

    beginning: the number of the first state that it follows: of an opening, or after a fault.
    count: steps and first states since it was opened.  total_reward: since it was opened.
    num_resets: episodes that began.  reset: how the one before the last ended, ENDED or CUT_OFF; CUT_OFF for
    the first.  success: 1 where that episode reached its goal, else 0.
    """

    views: tuple[np.ndarray, ...]
    beginning: int
    count: int
    total_reward: float
    num_resets: int
    reset: float
    success: float
    stamp_ns: int


class SteppedEnvironment:
    """An Environment around a StepWorld; NAME.<view>, NAME.reward and NAME.reset, and NAME.action.

    has_success: it also has NAME.success, of a world that states whether an episode reached its goal.
    """

    def __init__(
        self, config: SteppedConfig, context: SensorContext, world: StepWorld, *, has_success: bool = False
    ) -> None:
        taken = [view.name for view in world.views if view.name in RESERVED]
        if taken:
            raise InputError(
                f"{config.name}: the world has a view {taken[0]!r}: rename it, {', '.join(RESERVED)} are the"
                " environment's own"
            )
        self._state = WorldState(config, context.clock, world)
        period_ns = round(1e9 / config.rate_hz)
        self._sensors: tuple[Sensor, ...] = (
            *(
                ViewSensor(self._state, _spec(config, view, period_ns), index)
                for index, view in enumerate(world.views)
            ),
            RewardSensor(self._state, _number(config, "reward", REWARD_QUANTITY, period_ns)),
            ResetSensor(self._state, _number(config, "reset", RESET_QUANTITY, period_ns)),
        )
        if has_success:
            spec = _number(config, "success", SUCCESS_QUANTITY, period_ns)
            self._sensors = (*self._sensors, SuccessSensor(self._state, spec))
        self._effectors: tuple[Effector, ...] = (StepEffector(self._state, config, world.control),)

    def sensors(self) -> tuple[Sensor, ...]:
        return self._sensors

    def effectors(self) -> tuple[Effector, ...]:
        return self._effectors

    def open(self) -> None:
        self._state.open()

    def close(self) -> None:
        self._state.close()


class WorldState:
    """The world, and what it shows; the only thing that the endpoints share.

    shown: None while it is closed, and after a step that failed.
    """

    def __init__(self, config: SteppedConfig, clock: Clock, world: StepWorld) -> None:
        self._config = config
        self._clock = clock
        self._world = world
        self._is_open = False
        self._num_beginnings = 0
        self.shown: Shown | None = None

    def open(self) -> None:
        if self._is_open:
            return
        self._world.open()
        self._is_open = True
        self._begin(self._config.seed)

    def recover(self) -> None:
        """Start again after a step that failed."""
        if self._is_open and self.shown is None:
            self._begin(None)

    def step(self, values: np.ndarray, stamp_ns: int) -> np.ndarray:
        """What was really done. SensorError for a closed world, and for a step that breaks the contract."""
        before = self.shown
        if before is None:
            raise SensorError(f"{self._config.name}: the world is closed: call open() first")
        self.shown = None  # until the step has succeeded
        step = self._world.step(values)
        if not math.isfinite(step.reward):
            raise SensorError(
                f"{self._config.name}: the reward is {step.reward}: a world returns finite rewards"
            )
        has_ended = step.is_over or step.is_cut
        views = self._world.reset(None) if has_ended else step.views
        self.shown = Shown(
            views=self._checked(views),
            beginning=before.beginning,
            count=before.count + 1,
            total_reward=before.total_reward + step.reward,
            num_resets=before.num_resets + has_ended,
            reset=(ENDED if step.is_over else CUT_OFF) if has_ended else before.reset,
            success=float(step.is_success) if has_ended else before.success,
            stamp_ns=stamp_ns,
        )
        return values if step.done is None else step.done

    def now_ns(self) -> int:
        return self._clock.now_ns()

    def close(self) -> None:
        self._is_open = False
        self.shown = None
        self._world.close()

    def _begin(self, seed: int | None) -> None:
        """The first state is that of a world that has started again: a world that is made anew after a fault
        does not have the state of the one before.
        """
        views = self._checked(self._world.reset(seed))
        self._num_beginnings += 1
        self.shown = Shown(
            views=views,
            beginning=self._num_beginnings,
            count=1,
            total_reward=0.0,
            num_resets=1,
            reset=CUT_OFF,
            success=0.0,
            stamp_ns=self._clock.now_ns(),
        )

    def _checked(self, views: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        for view, array in zip(self._world.views, views, strict=True):
            if array.shape != view.tensor.shape or array.dtype.name != view.tensor.dtype:
                raise SensorError(
                    f"{self._config.name}.{view.name}: the world returned {array.shape} {array.dtype.name}:"
                    f" it declares {view.tensor.shape} {view.tensor.dtype}"
                )
        return views


class _StepSensor:
    """Delivers each step once. A closed world delivers nothing."""

    def __init__(self, state: WorldState, spec: SensorSpec) -> None:
        self._state = state
        self._spec = spec
        self._last: Shown | None = None

    @property
    def spec(self) -> SensorSpec:
        return self._spec

    def open(self) -> None:
        """The last reading is kept: opening a sensor alone does not start the world again."""

    def close(self) -> None:
        pass

    def read_into(self, out: np.ndarray) -> Reading | None:
        shown, last = self._state.shown, self._last
        if shown is None or shown is last:
            return None
        self._last = shown
        # Of a world that began anew, by an opening or after a fault, the counts start again.
        self.write(out, shown, last if last is not None and last.beginning == shown.beginning else None)
        return Reading(captured_ns=shown.stamp_ns, received_ns=self._state.now_ns(), sequence=shown.count - 1)

    def write(self, out: np.ndarray, shown: Shown, last: Shown | None) -> None:
        """Write what `shown` has; last: what was delivered before, None at the first."""
        raise NotImplementedError


class ViewSensor(_StepSensor):
    """One view of the world."""

    def __init__(self, state: WorldState, spec: SensorSpec, index: int) -> None:
        super().__init__(state, spec)
        self._index = index

    def write(self, out: np.ndarray, shown: Shown, last: Shown | None) -> None:
        out[...] = shown.views[self._index]


class RewardSensor(_StepSensor):
    """The reward since the reading before."""

    def write(self, out: np.ndarray, shown: Shown, last: Shown | None) -> None:
        out[0] = shown.total_reward - (0.0 if last is None else last.total_reward)


class ResetSensor(_StepSensor):
    """Whether the world has started again since the reading before; of several episodes, how the last ended.
    The first reading does not follow from an earlier one: it says that the world was cut off.
    """

    def write(self, out: np.ndarray, shown: Shown, last: Shown | None) -> None:
        if last is None:
            out[0] = CUT_OFF
        else:
            out[0] = shown.reset if shown.num_resets > last.num_resets else 0.0


class SuccessSensor(_StepSensor):
    """Whether the episode that has ended since the reading before reached its goal; of several, the last. Not
    in the first reading, whose reset is no end.
    """

    def write(self, out: np.ndarray, shown: Shown, last: Shown | None) -> None:
        has_ended = last is not None and shown.num_resets > last.num_resets
        out[0] = shown.success if has_ended else 0.0


class StepEffector:
    """Moves the world one step. After `abort` it holds until it is opened again."""

    def __init__(self, state: WorldState, config: SteppedConfig, control: Control) -> None:
        self._state = state
        self._spec = EffectorSpec(
            name=f"{config.name}.action",
            effect=config.effect,
            target=config.target,
            tensor=TensorSpec(shape=(len(control.low),), dtype="float32"),
            low=control.low,
            high=control.high,
            channels=control.channels,
            choices=control.choices,
            timeout_secs=config.timeout_secs,
        )
        self._position = self._spec.limited(np.zeros(self._spec.tensor.shape))
        self._is_open = False
        self._is_held = False

    @property
    def spec(self) -> EffectorSpec:
        return self._spec

    def open(self) -> None:
        self._is_open = True
        self._is_held = False
        self._state.recover()

    def apply(self, values: np.ndarray, stamp_ns: int) -> Action:
        """Values out of range are limited; with one that is not finite the world does not move."""
        if not self._is_open:
            raise SensorError(f"{self._spec.name}: apply while closed: call open() first")
        self._spec.check(values)
        if self._is_held or not np.isfinite(values).all():
            return Action(spec=self._spec, values=self._position, stamp_ns=stamp_ns, is_held=True)
        done = self._state.step(self._spec.limited(values), stamp_ns)
        self._position = done
        return Action(
            spec=self._spec, values=done, stamp_ns=stamp_ns, is_limited=bool((done != values).any())
        )

    def abort(self) -> None:
        self._is_held = True

    def close(self) -> None:
        self._is_open = False


def _spec(config: SteppedConfig, view: View, period_ns: int) -> SensorSpec:
    return SensorSpec(
        name=f"{config.name}.{view.name}",
        modality="physical",
        tensor=view.tensor,
        period_ns=period_ns,
        observes=view.observes,
        channels=view.channels,
        is_bounded=True,
    )


def _number(config: SteppedConfig, name: str, quantity: str, period_ns: int) -> SensorSpec:
    modality: Modality = "cognitive"
    return SensorSpec(
        name=f"{config.name}.{name}",
        modality=modality,
        tensor=TensorSpec(shape=(1,), dtype="float32"),
        period_ns=period_ns,
        observes=(quantity, "1"),
        channels=(name,),
        is_bounded=True,
    )
