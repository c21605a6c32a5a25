"""What effectors without a device of their own share: a vector of channels with one range."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from sage.errors import InputError
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.config import EffectorConfig
from sage.sensors.contract import EffectorSpec, SensorContext
from sage.sensors.effectors.holding import HoldingEffector

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


class VectorEffector(HoldingEffector):
    """A kind overrides `_do`, and extends open and close."""

    def __init__(self, config: VectorConfig, context: SensorContext) -> None:
        shape = (config.num_steps, config.size) if config.num_steps else (config.size,)
        super().__init__(
            EffectorSpec(
                name=config.name,
                effect=config.effect,
                target=config.target,
                tensor=TensorSpec(shape=shape, dtype=config.dtype),
                low=(config.low,) * config.size,
                high=(config.high,) * config.size,
                timeout_secs=config.timeout_secs,
                step_secs=config.step_secs,
            )
        )
