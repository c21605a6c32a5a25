"""An effector of a recorded run in its replay: it takes the same actions, and nothing moves."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sage.errors import DataError, InputError
from sage.sensors.config import EffectorConfig
from sage.sensors.contract import EffectorSpec, SensorContext
from sage.sensors.effectors.holding import HoldingEffector
from sage.sensors.recordings.codec import effector_spec


class StandInConfig(EffectorConfig):
    """spec: JSON, as a recording has it under `sage.effectors`."""

    kind: Literal["stand_in"] = "stand_in"
    effect: str = Field("stand_in", min_length=1)
    spec: str = Field(min_length=2)


class StandInEffector(HoldingEffector):
    """Nothing is done. After `abort` it holds until it is opened again. InputError for a damaged spec."""

    Config = StandInConfig

    def __init__(self, config: StandInConfig, context: SensorContext) -> None:
        try:
            spec: EffectorSpec = effector_spec(config.spec)
        except DataError as error:
            raise InputError(f"{config.name}: {error}") from error
        super().__init__(spec)
