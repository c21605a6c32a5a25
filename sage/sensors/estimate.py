"""The estimate of a group of measurements as a source: the loop puts it in, the next tick reads it.

Invariant: an estimate is one reading, stamped with the time of the newest measurement in it; without a new
one there is no reading.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sage.mailbox.clock import Clock
from sage.sensors.config import SensorConfig
from sage.sensors.contract import Reading, SensorError, SensorSpec


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimate:
    """values: (C,).  noise_std: root mean square of their standard deviations.  confidence: 0..1.

    captured_ns: what time the values are of, on the run's clock.
    """

    values: np.ndarray
    noise_std: float
    confidence: float
    captured_ns: int


class EstimateSlot:
    """The newest estimate of one group. num: put in so far. Used on the loop's thread."""

    def __init__(self) -> None:
        self.newest: Estimate | None = None
        self.num = 0

    def put(self, estimate: Estimate) -> None:
        self.newest = estimate
        self.num += 1


class EstimateConfig(SensorConfig):
    """name: of the group."""

    kind: Literal["measurements"] = "measurements"


class EstimateSensor:
    """Reads each estimate once; never waits. A run makes it for each group of its configuration."""

    Config = EstimateConfig

    def __init__(self, spec: SensorSpec, slot: EstimateSlot, clock: Clock) -> None:
        self._spec = spec
        self._slot = slot
        self._clock = clock
        self._is_open = False
        self._num_seen = 0

    @property
    def spec(self) -> SensorSpec:
        return self._spec

    def open(self) -> None:
        """Estimates from before are not read."""
        self._num_seen = self._slot.num
        self._is_open = True

    def read_into(self, out: np.ndarray) -> Reading | None:
        """The newest estimate, once; None without a new one."""
        if not self._is_open:
            raise SensorError(f"{self._spec.name}: read before open: call open() first")
        newest = self._slot.newest
        if newest is None or self._slot.num == self._num_seen:
            return None
        self._num_seen = self._slot.num
        out[...] = newest.values
        return Reading(
            captured_ns=newest.captured_ns,
            received_ns=self._clock.now_ns(),
            sequence=self._slot.num - 1,
            noise_std=newest.noise_std,
            confidence=newest.confidence,
        )

    def close(self) -> None:
        self._is_open = False
