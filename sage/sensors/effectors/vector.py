"""What effectors without a device of their own share: a vector of channels with one range, and holding.

Invariant: what it returns as done is finite and within its ranges.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from sage.errors import InputError
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.config import EffectorConfig
from sage.sensors.contract import Action, EffectorSpec, SensorContext, SensorError

Dtype = Literal["float32", "float64", "int8", "int16", "int32", "int64", "uint8"]


class VectorConfig(EffectorConfig):
    """size: channels.  num_steps: steps in one action; 0 for an action without a time axis.  dtype: of it.

    low, high: the range of every channel.  step_secs: time between steps; a slew limit needs it.
    """

    size: int = Field(1, ge=1)
    num_steps: int = Field(0, ge=0)
    dtype: Dtype = "float32"
    low: float = -1.0
    high: float = 1.0
    step_secs: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _low_below_high(self) -> VectorConfig:
        if self.high <= self.low:
            raise InputError(f"high is {self.high}: give more than low, {self.low}")
        return self


class VectorEffector:
    """After `abort` it holds until it is opened again. A kind overrides `_do`, and extends open and close."""

    def __init__(self, config: VectorConfig, context: SensorContext) -> None:
        shape = (config.num_steps, config.size) if config.num_steps else (config.size,)
        self._spec = EffectorSpec(
            name=config.name,
            effect=config.effect,
            target=config.target,
            tensor=TensorSpec(shape=shape, dtype=config.dtype),
            low=(config.low,) * config.size,
            high=(config.high,) * config.size,
            timeout_secs=config.timeout_secs,
            step_secs=config.step_secs,
        )
        self._position = self._spec.limited(np.zeros(shape))
        self._is_open = False
        self._is_held = False

    @property
    def spec(self) -> EffectorSpec:
        return self._spec

    def open(self) -> None:
        self._is_open = True
        self._is_held = False

    def apply(self, values: np.ndarray, stamp_ns: int) -> Action:
        """Values out of range are limited; with one that is not finite, it holds its position."""
        if not self._is_open:
            raise SensorError(f"{self._spec.name}: apply while closed: call open() first")
        self._spec.check(values)
        action = self._done(values, stamp_ns)
        self._do(values, action)
        self._position = action.values
        return action

    def abort(self) -> None:
        self._is_held = True

    def close(self) -> None:
        self._is_open = False

    def _do(self, requested: np.ndarray, action: Action) -> None:
        """Do an action, or note that it is held. Raises SensorError."""

    def _done(self, values: np.ndarray, stamp_ns: int) -> Action:
        spec = self._spec
        if self._is_held or not np.isfinite(values).all():
            return Action(spec=spec, values=self._position, stamp_ns=stamp_ns, is_held=True)
        done = spec.limited(values)
        is_limited = bool((done != values).any())
        return Action(spec=spec, values=done, stamp_ns=stamp_ns, is_limited=is_limited)
