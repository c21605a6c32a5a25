"""An environment that counts its steps and can fail in a chosen way, for tests of what uses environments.

Invariant: without a fault it is a world of its own: an action adds to the count, the reward is what it added.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Literal

import numpy as np
from pydantic import Field

from sage.errors import InputError
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.config import EnvironmentConfig
from sage.sensors.contract import (
    Action,
    Effector,
    EffectorSpec,
    Reading,
    Sensor,
    SensorContext,
    SensorError,
    SensorSpec,
    SensorUnavailable,
)
from sage.sensors.environment import RESET_QUANTITY, REWARD_QUANTITY
from sage.sensors.environments.queued_sensor import QueuedSensor

Fault = Literal["none", "raise", "hang", "crash", "nan", "shape", "open", "refuse"]


class FaultyConfig(EnvironmentConfig):
    """fault: what happens at the step `fault_step`: an exception, a call that does not return, the end of the
    process, a reward of NaN, a reading of another shape; `open`: it does not open; `refuse`: its
    configuration is found wrong when it opens.  episode_steps: after so many it starts again.
    """

    kind: Literal["faulty"] = "faulty"
    fault: Fault = "none"
    fault_step: int = Field(3, ge=1)
    episode_steps: int = Field(5, ge=1)
    effect: str = "simulated"
    target: str = "world"
    timeout_secs: float = Field(0.5, gt=0)


class FaultyEnvironment:
    """Sensors NAME.count, NAME.reward, NAME.reset; effector NAME.add."""

    Config = FaultyConfig

    def __init__(self, config: FaultyConfig, context: SensorContext) -> None:
        self._config = config
        self._count = np.zeros(1)
        self._num_steps = 0
        self._is_open = False
        self._queues = [
            QueuedSensor(_spec(config, name, quantity), context.clock)
            for name, quantity in (("count", "count"), ("reward", REWARD_QUANTITY), ("reset", RESET_QUANTITY))
        ]
        self._sensors = tuple(_LiveSensor(queue, self) for queue in self._queues)
        self._add = _AddEffector(config, self)

    @property
    def is_open(self) -> bool:
        return self._is_open

    def sensors(self) -> tuple[Sensor, ...]:
        return self._sensors

    def effectors(self) -> tuple[Effector, ...]:
        return (self._add,)

    def open(self) -> None:
        if self._config.fault == "open":
            raise SensorUnavailable(f"{self._config.name}: no world found: start one")
        if self._config.fault == "refuse":
            raise InputError(f"{self._config.name}: world is 'none': give the name of a world")
        if not self._is_open:
            self._is_open = True
            self._count[:] = 0
            self._num_steps = 0
            for queue in self._queues:
                queue.clear()
            self._show(0.0, is_reset=False)

    def close(self) -> None:
        self._is_open = False
        for queue in self._queues:
            queue.clear()

    def step(self, value: float) -> None:
        """Add to the count."""
        if not self._is_open:
            raise SensorError(f"{self._config.name}: the world is closed: call open() first")
        self._num_steps += 1
        is_faulty = self._num_steps == self._config.fault_step
        if is_faulty:
            self._fail()
        self._count += value
        is_reset = self._num_steps % self._config.episode_steps == 0
        self._show(np.nan if is_faulty and self._config.fault == "nan" else value, is_reset=is_reset)
        if is_reset:
            self._count[:] = 0

    def _fail(self) -> None:
        fault = self._config.fault
        if fault == "raise":
            raise ZeroDivisionError("the world divides by zero")
        if fault == "shape":
            self._queues[0].put(np.zeros(3))
        if fault == "hang":
            threading.Event().wait()
        if fault == "crash":
            os.kill(os.getpid(), signal.SIGKILL)

    def _show(self, reward: float, *, is_reset: bool) -> None:
        count, rewards, resets = self._queues
        count.put(self._count)
        rewards.put(np.array([reward]))
        resets.put(np.array([float(is_reset)]))


class _LiveSensor:
    """Delivers nothing while its environment is closed."""

    def __init__(self, queue: QueuedSensor, environment: FaultyEnvironment) -> None:
        self._queue = queue
        self._environment = environment

    @property
    def spec(self) -> SensorSpec:
        return self._queue.spec

    def open(self) -> None:
        self._queue.open()

    def read_into(self, out: np.ndarray) -> Reading | None:
        return self._queue.read_into(out) if self._environment.is_open else None

    def close(self) -> None:
        self._queue.close()


class _AddEffector:
    """Adds its value to the count."""

    def __init__(self, config: FaultyConfig, environment: FaultyEnvironment) -> None:
        self._environment = environment
        self._is_open = False
        self._is_held = False
        self._spec = EffectorSpec(
            name=f"{config.name}.add",
            effect=config.effect,
            target=config.target,
            tensor=TensorSpec(shape=(1,)),
            low=(-1.0,),
            high=(1.0,),
            timeout_secs=config.timeout_secs,
        )

    @property
    def spec(self) -> EffectorSpec:
        return self._spec

    def open(self) -> None:
        self._is_open = True
        self._is_held = False

    def apply(self, values: np.ndarray, stamp_ns: int) -> Action:
        if not self._is_open:
            raise SensorError(f"{self._spec.name}: apply while closed: call open() first")
        self._spec.check(values)
        if self._is_held or not np.isfinite(values).all():
            nothing = np.zeros(1, np.float32)
            return Action(spec=self._spec, values=nothing, stamp_ns=stamp_ns, is_held=True)
        done = self._spec.limited(values)
        self._environment.step(float(done[0]))
        is_limited = bool((done != values).any())
        return Action(spec=self._spec, values=done, stamp_ns=stamp_ns, is_limited=is_limited)

    def abort(self) -> None:
        self._is_held = True

    def close(self) -> None:
        self._is_open = False


def _spec(config: FaultyConfig, name: str, quantity: str) -> SensorSpec:
    return SensorSpec(
        name=f"{config.name}.{name}",
        modality="physical",
        tensor=TensorSpec(shape=(1,)),
        period_ns=10_000_000,
        observes=(quantity, "1"),
        is_bounded=True,
    )
