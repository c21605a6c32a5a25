"""Faults of sources, switched on and off while a session runs: a wrapper around a sensor, and the board that
it looks at.

Invariant: without a fault a wrapped sensor is the sensor. A board is written on the loop's thread and read by
the sensors' threads.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from sage.sensors.contract import Reading, Sensor, SensorSpec

SourceFault = Literal["freeze", "drift", "silence"]
#: Of a drift: seconds that the source's clock loses in a second.
DRIFT_RATE = 0.2


class FaultBoard:
    """Faults of sources by name, each as often as it is injected, and which sources can be faulted."""

    def __init__(self) -> None:
        self._faults: dict[str, tuple[SourceFault, ...]] = {}
        self.wrapped: set[str] = set()

    def of(self, source: str) -> tuple[SourceFault, ...]:
        return self._faults.get(source, ())

    def start(self, source: str, fault: SourceFault) -> None:
        self._faults[source] = (*self.of(source), fault)

    def end(self, source: str, fault: SourceFault) -> None:
        """One of them."""
        left = list(self.of(source))
        left.remove(fault)
        self._faults[source] = tuple(left)

    def wrap(self, sensor: Sensor) -> Sensor:
        """The sensor, with the faults of this board."""
        self.wrapped.add(sensor.spec.name)
        return FaultySensor(sensor, self)


class FaultySensor:
    """Repeats its sensor's reading (freeze), stamps times ever older (drift) or returns none (silence)."""

    def __init__(self, sensor: Sensor, board: FaultBoard) -> None:
        self._sensor = sensor
        self._board = board
        self._name = sensor.spec.name
        self._frozen: np.ndarray | None = None
        self._drifts_from_ns: int | None = None

    @property
    def spec(self) -> SensorSpec:
        return self._sensor.spec

    def open(self) -> None:
        self._sensor.open()

    def read_into(self, out: np.ndarray) -> Reading | None:
        reading = self._sensor.read_into(out)
        faults = self._board.of(self._name)
        if not faults:
            self._frozen = self._drifts_from_ns = None
            return reading
        if reading is None or "silence" in faults:
            return None
        self._freeze(out, is_frozen="freeze" in faults)
        if "drift" not in faults:
            self._drifts_from_ns = None
            return reading
        if self._drifts_from_ns is None:
            self._drifts_from_ns = reading.captured_ns
        lost_ns = round(DRIFT_RATE * (reading.captured_ns - self._drifts_from_ns))
        return dataclasses.replace(reading, captured_ns=reading.captured_ns - lost_ns)

    def close(self) -> None:
        self._sensor.close()

    def _freeze(self, out: np.ndarray, *, is_frozen: bool) -> None:
        if not is_frozen:
            self._frozen = None
        elif self._frozen is None:
            self._frozen = out.copy()
        else:
            out[:] = self._frozen
