"""A sensor for tests of the bridge, which a process of its own imports too."""

from __future__ import annotations

from typing import Literal

import numpy as np

from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.config import SensorConfig
from sage.sensors.contract import Reading, SensorContext, SensorSpec


class BurstConfig(SensorConfig):
    kind: Literal["burst"] = "burst"


class BurstSensor:
    """Three readings at once, every 40 ms, each with claims of its own; those of whole numbers are int."""

    Config = BurstConfig

    def __init__(self, config: BurstConfig, context: SensorContext) -> None:
        self._clock = context.clock
        self._sequence = 0
        self._next_ns = 0
        self.spec = SensorSpec(
            name=config.name,
            modality="physical",
            tensor=TensorSpec(shape=(1,)),
            period_ns=40_000_000,
            observes=("burst", "1"),
            is_bounded=config.driver != "thread" and not config.isolate,
        )

    def open(self) -> None: ...

    def close(self) -> None: ...

    def read_into(self, out: np.ndarray) -> Reading | None:
        now_ns = self._clock.now_ns()
        if self._sequence % 3 == 0 and now_ns < self._next_ns:
            return None
        self._next_ns = now_ns + 40_000_000
        number, self._sequence = self._sequence, self._sequence + 1
        out[0] = number
        return Reading(
            captured_ns=now_ns,
            received_ns=now_ns,
            sequence=number,
            noise_std=number,
            quality=1 if number % 2 else 0.5,
            confidence=1 / (number + 1),
            health="" if number % 2 else f"fault {number}",
        )
