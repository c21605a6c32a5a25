"""An effector that records its actions and does nothing else: for tests, dry runs, and runs without a device.

Invariant: what it returns as done is finite and within its ranges.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from sage.errors import InputError
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.config import EffectorConfig
from sage.sensors.contract import Action, EffectorSpec, SensorContext, SensorError

Dtype = Literal["float32", "float64", "int8", "int16", "int32", "int64", "uint8"]


class RecordingConfig(EffectorConfig):
    """size: channels.  num_steps: steps in one action; 0 for an action without a time axis.  dtype: of it.

    low, high: the range of every channel.  capacity: how many of the latest actions are recorded.
    """

    kind: Literal["recording"] = "recording"
    effect: str = Field("record", min_length=1)
    size: int = Field(1, ge=1)
    num_steps: int = Field(0, ge=0)
    dtype: Dtype = "float32"
    low: float = -1.0
    high: float = 1.0
    capacity: int = Field(1024, ge=1)

    @model_validator(mode="after")
    def _low_below_high(self) -> RecordingConfig:
        if self.high <= self.low:
            raise InputError(f"high is {self.high}: give more than low, {self.low}")
        return self


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordedAction:
    """requested: the values of a call.  done: what it returned."""

    requested: np.ndarray
    done: Action


class RecordingEffector:
    """Records the last `capacity` actions. After `abort` it holds until it is opened again."""

    Config = RecordingConfig

    def __init__(self, config: RecordingConfig, context: SensorContext) -> None:
        shape = (config.num_steps, config.size) if config.num_steps else (config.size,)
        self._spec = EffectorSpec(
            name=config.name,
            effect=config.effect,
            target=config.target,
            tensor=TensorSpec(shape=shape, dtype=config.dtype),
            low=(config.low,) * config.size,
            high=(config.high,) * config.size,
            timeout_secs=config.timeout_secs,
        )
        self._actions: deque[RecordedAction] = deque(maxlen=config.capacity)
        self._position = self._spec.limited(np.zeros(shape))
        self._is_open = False
        self._is_held = False

    @property
    def spec(self) -> EffectorSpec:
        return self._spec

    @property
    def actions(self) -> tuple[RecordedAction, ...]:
        """Oldest first."""
        return tuple(self._actions)

    def open(self) -> None:
        self._is_open = True
        self._is_held = False

    def apply(self, values: np.ndarray, stamp_ns: int) -> Action:
        """Values out of range are limited; with one that is not finite, it holds its position."""
        if not self._is_open:
            raise SensorError(f"{self._spec.name}: apply while closed: call open() first")
        self._spec.check(values)
        action = self._done(values, stamp_ns)
        self._position = action.values
        self._actions.append(RecordedAction(requested=values.copy(), done=action))
        return action

    def abort(self) -> None:
        self._is_held = True

    def close(self) -> None:
        self._is_open = False

    def _done(self, values: np.ndarray, stamp_ns: int) -> Action:
        spec = self._spec
        if self._is_held or not np.isfinite(values).all():
            return Action(spec=spec, values=self._position, stamp_ns=stamp_ns, is_held=True)
        done = spec.limited(values)
        is_limited = bool((done != values).any())
        return Action(spec=spec, values=done, stamp_ns=stamp_ns, is_limited=is_limited)
