"""The statuses of the sources from tick to tick.

Invariant: every change of a status is one event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sage.sensors.contract import SensorSpec
from sage.sensors.driver.sensor_driver import DriverStatistics


class Statuses:
    """current: of each source, in order.  emit(kind, message, source): creates an event."""

    def __init__(self, specs: Sequence[SensorSpec], emit: Callable[[str, str, str], None]) -> None:
        self.current = ["starting"] * len(specs)
        self._specs = tuple(specs)
        self._emit = emit

    def note(self, statistics: Sequence[DriverStatistics]) -> bool:
        """One tick's. Whether every physical source is exhausted, which ends the run."""
        for spec, old, counts in zip(self._specs, self.current, statistics):
            if counts.status != old:
                reason = f": {counts.last_error}" if counts.last_error else ""
                self._emit("source", f"{old} -> {counts.status}{reason}", spec.name)
        self.current = [counts.status for counts in statistics]
        physical = [status for status, spec in zip(self.current, self._specs) if spec.modality == "physical"]
        return bool(physical) and all(status == "exhausted" for status in physical)
