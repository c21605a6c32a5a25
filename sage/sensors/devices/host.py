"""The host machine as a sensor: load, memory, disk and network traffic, temperature.

Invariant: the channels are those that could be read when the sensor was made, and do not change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.config import SensorConfig
from sage.sensors.contract import Reading, SensorContext, SensorError, SensorSpec, SensorUnavailable
from sage.sensors.devices import host_probes
from sage.sensors.devices.gpu_probe import gpu_probes
from sage.sensors.devices.host_probes import FIGURE_ERRORS, Probe, TolerantProbe, describe

Subject = Literal[
    "cpu", "frequency", "memory", "swap", "disk", "network", "temperature", "power", "process", "gpu"
]
#: In the order of the channels, each with what is missing on a machine that lacks it.
SUBJECTS: dict[Subject, str] = {
    "cpu": "processor load",
    "frequency": "processor frequency",
    "memory": "memory figure",
    "swap": "swap space",
    "disk": "disk counter",
    "network": "network interface",
    "temperature": "temperature sensor",
    "power": "power monitor",
    "process": "process figure",
    "gpu": "GPU",
}


class HostConfig(SensorConfig):
    """read: subjects to read; all that the machine has when left out.  period_secs: time between readings.

    sysfs_root: where sysfs is mounted (another place in tests).
    """

    kind: Literal["host"] = "host"
    read: tuple[Subject, ...] | None = Field(None, min_length=1)
    period_secs: float = Field(0.1, ge=0.01)
    sysfs_root: Path = Path("/sys")


class HostSensor:
    """A vector of named figures in the units of host_probes. Bounded: reads only files of the kernel.

    A figure that cannot be read keeps its last value: the reading's quality is the fraction of figures that
    were read. A reading of which no figure was read is a SensorError.
    """

    Config = HostConfig

    def __init__(self, config: HostConfig, context: SensorContext) -> None:
        self._clock = context.clock
        self._period_ns = round(config.period_secs * 1e9)
        found = find_probes(config.read, config.sysfs_root, name=config.name)
        self._probes = found.probes
        self._left_out = found.failures
        self._failing: set[str] = set()
        self._is_open = False
        self._last_ns = 0
        self._sequence = 0
        channels = tuple(name for probe in self._probes for name in probe.names)
        self._spec = SensorSpec(
            name=config.name,
            modality="physical",
            tensor=TensorSpec(shape=(len(channels),)),
            period_ns=self._period_ns,
            observes=("host telemetry", "mixed"),
            channels=channels,
            is_bounded=True,
            ranges=tuple(_range_of(name) for name in channels),
        )

    @property
    def spec(self) -> SensorSpec:
        return self._spec

    def open(self) -> None:
        """Rates start here; the first reading is due one period later."""
        for reason in self._left_out:
            self._log().info("figure left out", reason=reason)
        for probe in self._probes:
            probe.prime()
        self._last_ns = self._clock.now_ns()
        self._is_open = True

    def read_into(self, out: np.ndarray) -> Reading | None:
        if not self._is_open:
            raise SensorError(f"{self._spec.name}: read while closed: call open() first")
        now_ns = self._clock.now_ns()
        if now_ns - self._last_ns < self._period_ns:
            return None
        elapsed_secs = (now_ns - self._last_ns) * 1e-9
        self._last_ns = now_ns
        quality = self._read_figures(out, elapsed_secs)
        self._sequence += 1
        return Reading(
            captured_ns=now_ns,
            received_ns=now_ns,
            sequence=self._sequence - 1,
            quality=quality,
            health=f"not read: {', '.join(sorted(self._failing))}" if self._failing else "",
        )

    def close(self) -> None:
        self._is_open = False

    def _read_figures(self, out: np.ndarray, elapsed_secs: float) -> float:
        """The fraction of figures that were read."""
        start = num_read = 0
        for probe in self._probes:
            stop = start + len(probe.names)
            probe.read_into(out[start:stop], elapsed_secs)
            num_read += 0 if probe.error else len(probe.names)
            start = stop
        if num_read == 0:
            raise SensorError(f"{self._spec.name}: no figure can be read: {self._probes[0].error}")
        self._log_changes()
        return num_read / start

    def _log_changes(self) -> None:
        """One line for each figure that begins to fail, and one when it is read again."""
        for probe in self._probes:
            was_failing = probe.names[0] in self._failing
            if bool(probe.error) == was_failing:
                continue
            if was_failing:
                self._failing.discard(probe.names[0])
                self._log().info("figure is read again", figures=", ".join(probe.names))
            else:
                self._failing.add(probe.names[0])
                self._log().warning(
                    "figure cannot be read, keeping its last value",
                    figures=", ".join(probe.names),
                    error=probe.error,
                )

    def _log(self) -> Any:
        import structlog  # a third of this module's import time, for what seldom happens

        return structlog.get_logger("sage.sensors").bind(source=self._spec.name)


def _range_of(channel: str) -> tuple[float | None, float | None]:
    """Fractions are within 0 and 1, rates and sizes not below 0; of the rest nothing is declared."""
    if channel.startswith("cpu") or channel in ("memory_used", "swap_used"):
        return (0.0, 1.0)
    is_amount = channel.startswith(("frequency", "disk_", "network_", "process_"))
    return (0.0 if is_amount else None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundProbes:
    """failures: one line for each figure whose first read failed."""

    probes: tuple[TolerantProbe, ...]
    failures: tuple[str, ...]


def find_probes(read: tuple[Subject, ...] | None, sysfs: Path, *, name: str) -> FoundProbes:
    """The probes whose first read succeeds, in the order of SUBJECTS.

    Raises SensorUnavailable for a subject in `read` of which no figure can be read, or when there is none at
    all.
    """
    finders: dict[Subject, Callable[[], Sequence[Probe]]] = {
        "cpu": lambda: (host_probes.CpuProbe(),),
        "frequency": host_probes.frequency_probes,
        "memory": host_probes.memory_probes,
        "swap": host_probes.swap_probes,
        "disk": host_probes.disk_probes,
        "network": host_probes.network_probes,
        "temperature": lambda: host_probes.temperature_probes(sysfs),
        "power": lambda: host_probes.power_probes(sysfs),
        "process": host_probes.process_probes,
        "gpu": lambda: gpu_probes(sysfs),
    }
    found: list[TolerantProbe] = []
    reasons: list[str] = []
    for subject, missing in SUBJECTS.items():
        if read is not None and subject not in read:
            continue
        probes, failures = _working(finders[subject])
        if read is not None and not probes:
            reason = f" ({failures[0]})" if failures else ""
            raise SensorUnavailable(
                f"{name}: no {missing} found{reason}; remove {subject!r} from `read` or set `optional: true`"
            )
        found += probes
        reasons += [f"{subject}: {failure}" for failure in failures]
    if not found:
        raise SensorUnavailable(f"{name}: no figure of this machine can be read; set `optional: true`")
    return FoundProbes(probes=tuple(found), failures=tuple(reasons))


def _working(find: Callable[[], Sequence[Probe]]) -> tuple[list[TolerantProbe], list[str]]:
    """The subject's probes that can be read, and one line for each that cannot."""
    try:
        tried = [_tried(probe) for probe in find()]
    except FIGURE_ERRORS as error:
        return [], [describe(error)]
    working = [probe for probe in tried if isinstance(probe, TolerantProbe)]
    return working, [failure for failure in tried if isinstance(failure, str)]


def _tried(probe: Probe) -> TolerantProbe | str:
    """The probe after a first read, or why that failed."""
    try:
        return TolerantProbe(probe)
    except FIGURE_ERRORS as error:
        return f"{', '.join(probe.names)}: {describe(error)}"
