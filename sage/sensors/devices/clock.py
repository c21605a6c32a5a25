"""The time as a sensor: the phases of chosen periods, from which a model can learn daily and hourly patterns.

Invariant: a reading is a pure function of its captured_ns, which is a multiple of the period from the epoch.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from sage.errors import InputError
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.config import SensorConfig
from sage.sensors.contract import Reading, SensorContext, SensorError, SensorSpec


class ClockConfig(SensorConfig):
    """cycles_secs: the periods of the phases.  period_secs: time between readings.

    offset_secs: the time at the run's start, for example seconds since midnight; with 0 the phases are
    relative to the run.
    """

    kind: Literal["clock"] = "clock"
    cycles_secs: tuple[float, ...] = Field((1.0, 10.0, 60.0, 3600.0, 86400.0), min_length=1, max_length=32)
    period_secs: float = Field(0.1, ge=0.001)
    offset_secs: float = 0.0

    @field_validator("cycles_secs")
    @classmethod
    def _above_zero(cls, cycles: tuple[float, ...]) -> tuple[float, ...]:
        if any(cycle <= 0 for cycle in cycles):
            raise InputError(f"cycles_secs is {cycles}: give times above 0")
        return cycles


class ClockSensor:
    """sin and cos of 2 pi t / cycle for each cycle, t in seconds since the epoch plus the offset. Bounded."""

    Config = ClockConfig

    def __init__(self, config: ClockConfig, context: SensorContext) -> None:
        self._clock = context.clock
        self._epoch_ns = context.epoch_ns
        self._offset_secs = config.offset_secs
        self._cycles_secs = np.array(config.cycles_secs, dtype=np.float64)  # (C,)
        self._period_ns = round(config.period_secs * 1e9)
        self._is_open = False
        self._last_step = -1
        self._sequence = 0
        channels = tuple(f"{wave}_{cycle:g}s" for cycle in config.cycles_secs for wave in ("sin", "cos"))
        self._spec = SensorSpec(
            name=config.name,
            modality="temporal",
            tensor=TensorSpec(shape=(len(channels),)),
            period_ns=self._period_ns,
            observes=("phase", "1"),
            channels=channels,
            is_bounded=True,
        )

    @property
    def spec(self) -> SensorSpec:
        return self._spec

    def open(self) -> None:
        self._is_open = True

    def read_into(self, out: np.ndarray) -> Reading | None:
        """The newest grid point, once. Grid points that were not read are not counted as lost."""
        if not self._is_open:
            raise SensorError(f"{self._spec.name}: read while closed: call open() first")
        now_ns = self._clock.now_ns()
        step = (now_ns - self._epoch_ns) // self._period_ns
        if step <= self._last_step:
            return None
        self._last_step = step
        captured_ns = self._epoch_ns + step * self._period_ns
        elapsed_secs = step * self._period_ns / 1e9 + self._offset_secs
        angles = np.fmod(elapsed_secs, self._cycles_secs) * (2 * math.pi / self._cycles_secs)
        out[0::2] = np.sin(angles)
        out[1::2] = np.cos(angles)
        reading = Reading(captured_ns=captured_ns, received_ns=now_ns, sequence=self._sequence, noise_std=0.0)
        self._sequence += 1
        return reading

    def close(self) -> None:
        self._is_open = False
