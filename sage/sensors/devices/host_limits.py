"""The two figures of a machine that its guards limit, from the probes that the kind `host` reads.

Invariant: nothing here raises; a figure that cannot be read is None.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from sage.sensors.contract import SensorUnavailable
from sage.sensors.devices.host import Subject, find_probes
from sage.sensors.devices.host_probes import TolerantProbe

#: Of the board's input, which has all others in it, on a Jetson.
INPUT_RAIL = "power_vdd_in_w"
#: Longer than any probe repeats a figure.
ELAPSED_SECS = 10.0


class HostLimits:
    """sysfs: where it is mounted (another place in tests). The sensors are those of the first call."""

    def __init__(self, sysfs: Path) -> None:
        self._sysfs = sysfs

    def celsius(self) -> float | None:
        """Of the hottest sensor."""
        return max((value for _, value in _figures(self._temperatures)), default=None)

    def watts(self) -> float | None:
        """Of the board's input, else of all rails together."""
        found = dict(_figures(self._rails))
        return found.get(INPUT_RAIL, sum(found.values())) if found else None

    @cached_property
    def _temperatures(self) -> tuple[TolerantProbe, ...]:
        return _found("temperature", self._sysfs)

    @cached_property
    def _rails(self) -> tuple[TolerantProbe, ...]:
        return _found("power", self._sysfs)


def _found(subject: Subject, sysfs: Path) -> tuple[TolerantProbe, ...]:
    try:
        return find_probes((subject,), sysfs, name="guards").probes
    except SensorUnavailable:
        return ()


def _figures(probes: tuple[TolerantProbe, ...]) -> Iterator[tuple[str, float]]:
    """Names and values of those that can be read now."""
    for probe in probes:
        values = np.zeros(len(probe.names), dtype=np.float32)
        probe.read_into(values, ELAPSED_SECS)
        if not probe.error:
            yield from zip(probe.names, values.tolist(), strict=True)
