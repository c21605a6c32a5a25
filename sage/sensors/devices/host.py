"""The machine that SAGE runs on, as a sensor: load, memory, traffic, heat.

Invariant: the channels are those that the machine had when the sensor was made, and stay.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.config import SensorConfig
from sage.sensors.contract import Reading, SensorContext, SensorError, SensorSpec, SensorUnavailable
from sage.sensors.devices import host_probes
from sage.sensors.devices.gpu_probe import gpu_probe

Subject = Literal["cpu", "frequency", "memory", "swap", "disk", "network", "temperature", "process", "gpu"]
ALL_SUBJECTS: tuple[Subject, ...] = (
    "cpu",
    "frequency",
    "memory",
    "swap",
    "disk",
    "network",
    "temperature",
    "process",
    "gpu",
)


class HostConfig(SensorConfig):
    """read: what to read; everything the machine has when left out.  period_secs: time between readings.

    sysfs_root: where the kernel tells of devices (another place in tests).
    """

    kind: Literal["host"] = "host"
    read: tuple[Subject, ...] | None = Field(None, min_length=1)
    period_secs: float = Field(0.1, ge=0.01)
    sysfs_root: Path = Path("/sys")


class HostSensor:
    """A vector of named numbers in the units that host_probes states. Bounded: reads files that the kernel
    makes up.
    """

    Config = HostConfig

    def __init__(self, config: HostConfig, context: SensorContext) -> None:
        self._clock = context.clock
        self._period_ns = round(config.period_secs * 1e9)
        self._probes = find_probes(config.read, config.sysfs_root, name=config.name)
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
        )

    @property
    def spec(self) -> SensorSpec:
        return self._spec

    def open(self) -> None:
        """Rates count from here; the first reading is due a period later."""
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
        start = 0
        try:
            for probe in self._probes:
                probe.read_into(out[start : start + len(probe.names)], elapsed_secs)
                start += len(probe.names)
        except (OSError, ValueError) as error:
            raise SensorError(f"{self._spec.name}: {error}") from error
        self._sequence += 1
        return Reading(captured_ns=now_ns, received_ns=now_ns, sequence=self._sequence - 1)

    def close(self) -> None:
        self._is_open = False


def find_probes(read: tuple[Subject, ...] | None, sysfs: Path, *, name: str) -> list[host_probes.Probe]:
    """In the order of ALL_SUBJECTS. A subject asked for by name that the machine lacks is
    SensorUnavailable.
    """
    makers: dict[Subject, Callable[[], host_probes.Probe | None]] = {
        "cpu": host_probes.CpuProbe,
        "frequency": host_probes.frequency_probe,
        "memory": host_probes.memory_probe,
        "swap": host_probes.swap_probe,
        "disk": host_probes.disk_probe,
        "network": host_probes.network_probe,
        "temperature": lambda: host_probes.temperature_probe(sysfs),
        "process": host_probes.process_probe,
        "gpu": lambda: gpu_probe(sysfs),
    }
    probes = []
    for subject in ALL_SUBJECTS:
        if read is not None and subject not in read:
            continue
        probe = makers[subject]()
        if probe is not None:
            probes.append(probe)
        elif read is not None:
            raise SensorUnavailable(f"{name}: this machine tells no {subject}: take it out of `read`")
    return probes
