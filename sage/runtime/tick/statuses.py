"""The statuses of the sources from tick to tick, and their health.

Invariant: every change of a status or of a health is one event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sage.sensors.contract import SensorSpec
from sage.sensors.driver.sensor_driver import SourceState


class Statuses:
    """current: of each source, in order.  emit(kind, message, source): creates an event."""

    def __init__(self, specs: Sequence[SensorSpec], emit: Callable[[str, str, str], None]) -> None:
        self.current = ["starting"] * len(specs)
        self._healths = [""] * len(specs)
        self._specs = tuple(specs)
        self._emit = emit

    def note(self, states: Sequence[SourceState]) -> bool:
        """One tick's. Whether every physical source is exhausted, which ends the run; disabled ones do not
        count.
        """
        for index, (spec, counts) in enumerate(zip(self._specs, states)):
            old = self.current[index]
            if counts.status != old:
                reason = f": {counts.last_error}" if counts.last_error else ""
                self._emit("source", f"{old} -> {counts.status}{reason}", spec.name)
            if counts.health != self._healths[index]:
                self._healths[index] = counts.health
                self._emit("health", _described(counts), spec.name)
        self.current = [counts.status for counts in states]
        physical = [
            status
            for status, spec in zip(self.current, self._specs)
            if spec.modality == "physical" and status != "disabled"
        ]
        return bool(physical) and all(status == "exhausted" for status in physical)


def _described(counts: SourceState) -> str:
    return f"{counts.health} (quality {counts.quality:.2f})" if counts.health else "without fault again"
