"""Probes of the host machine: each reads a few named figures of one subject.

Invariant: a probe's names are fixed when it is made; `read_into` writes one number for each name, or raises.
Units: fractions 0..1, rates MB/s since the last read, memory GB, frequency GHz, temperature degrees C, power
W; most values are near 1.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import psutil

from sage.sensors.contract import SensorError

BYTES_PER_MB = 1e6
#: What reading a figure raises on one machine or another. psutil raises NotImplementedError (a RuntimeError)
#: and AccessDenied (a psutil.Error), the kernel's files OSError, and a file of another form the rest.
FIGURE_ERRORS = (
    psutil.Error,
    OSError,
    RuntimeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    TypeError,
    SensorError,
)


class Probe(Protocol):
    """A few figures of one subject. names: one for each figure.  prime: read the counts that rates start
    at.
    """

    names: tuple[str, ...]

    def prime(self) -> None: ...

    def read_into(self, out: np.ndarray, elapsed_secs: float) -> None:
        """out: (len(names),) float32.  elapsed_secs: since the last read that succeeded, or since `prime`."""
        ...


class CpuProbe:
    """cpu0..: the fraction of time each core was busy (iowait is idle)."""

    def __init__(self) -> None:
        self._last = self._counts()  # (cores, 2) seconds: busy, all
        self.names = tuple(f"cpu{core}" for core in range(len(self._last)))
        self._load = np.zeros(len(self._last))

    def prime(self) -> None:
        self._last = self._counts()

    def read_into(self, out: np.ndarray, elapsed_secs: float) -> None:
        counts = self._counts()
        if len(counts) != len(self._last):
            raise SensorError(
                f"the machine has {len(counts)} cores online, {len(self._last)} at the start: restart to"
                " read them all"
            )
        busy, total = (counts - self._last).T
        # The kernel counts in ticks of 10 ms: a core whose count has not moved keeps its load.
        has_moved = total > 0
        self._load[has_moved] = np.clip(busy[has_moved] / total[has_moved], 0.0, 1.0)
        self._last = counts
        out[:] = self._load

    @staticmethod
    def _counts() -> np.ndarray:
        rows = []
        for times in psutil.cpu_times(percpu=True):
            # guest time is counted in user already (man 5 proc)
            total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
            rows.append((total - times.idle - getattr(times, "iowait", 0.0), total))
        return np.array(rows)


class GaugeProbe:
    """Figures that are measured at the moment of reading."""

    def __init__(self, names: tuple[str, ...], measure: Callable[[], tuple[float, ...]]) -> None:
        self.names = names
        self._measure = measure

    def prime(self) -> None:
        """A gauge has no count to start at."""

    def read_into(self, out: np.ndarray, elapsed_secs: float) -> None:
        out[:] = self._measure()


class RateProbe:
    """Counters that only grow, read as their growth a second times `scale`."""

    def __init__(self, names: tuple[str, ...], count: Callable[[], tuple[float, ...]], scale: float) -> None:
        self.names = names
        self._count = count
        self._scale = scale
        self._last = np.array(count(), dtype=np.float64)

    def prime(self) -> None:
        self._last = np.array(self._count(), dtype=np.float64)

    def read_into(self, out: np.ndarray, elapsed_secs: float) -> None:
        counts = np.array(self._count(), dtype=np.float64)
        # A counter that was reset (a device was removed) gives 0, not a negative rate.
        out[:] = np.maximum(counts - self._last, 0.0) * (self._scale / max(elapsed_secs, 1e-6))
        self._last = counts


class SlowProbe:
    """Reads a gauge at most once in `hold_secs` and repeats its figures between: some chips take milliseconds
    to read.
    """

    def __init__(self, probe: GaugeProbe, hold_secs: float) -> None:
        self.names = probe.names
        self._probe = probe
        self._hold_secs = hold_secs
        self._age_secs = float("inf")
        self._held = np.zeros(len(probe.names), dtype=np.float32)

    def prime(self) -> None:
        self._probe.prime()
        self._age_secs = float("inf")

    def read_into(self, out: np.ndarray, elapsed_secs: float) -> None:
        self._age_secs += elapsed_secs
        if self._age_secs >= self._hold_secs:
            self._probe.read_into(self._held, elapsed_secs)
            self._age_secs = 0.0
        out[:] = self._held


class TolerantProbe:
    """Reads a probe whose call may fail: its figures then keep their last values.

    error: why the last read failed, empty after one that succeeded. Made only where a first read succeeds.
    """

    def __init__(self, probe: Probe) -> None:
        self.names = probe.names
        self.error = ""
        self._probe = probe
        self._values = np.zeros(len(probe.names), dtype=np.float32)
        self._elapsed_secs = 1.0
        probe.prime()
        self._refresh()
        self._elapsed_secs = 0.0

    def prime(self) -> None:
        self._elapsed_secs = 0.0
        try:
            self._probe.prime()
        except FIGURE_ERRORS as error:
            self.error = describe(error)

    def read_into(self, out: np.ndarray, elapsed_secs: float) -> None:
        self._elapsed_secs += elapsed_secs
        try:
            self._refresh()
        except FIGURE_ERRORS as error:
            self.error = describe(error)
        else:
            self.error = ""
            self._elapsed_secs = 0.0
        out[:] = self._values

    def _refresh(self) -> None:
        fresh = np.empty_like(self._values)
        self._probe.read_into(fresh, self._elapsed_secs)
        if not np.isfinite(fresh).all():
            raise SensorError(f"{', '.join(self.names)}: not a finite number")
        self._values = fresh


def describe(error: Exception) -> str:
    """One line: a SensorError's message, or the type and message of another error."""
    text = " ".join(str(error).split())
    return text if isinstance(error, SensorError) else f"{type(error).__name__}: {text}".rstrip(": ")


def frequency_probes() -> Sequence[Probe]:
    if psutil.cpu_freq() is None:
        return ()
    gauge = GaugeProbe(("frequency_ghz",), lambda: (psutil.cpu_freq().current / 1000.0,))
    return (SlowProbe(gauge, hold_secs=1.0),)


def memory_probes() -> Sequence[Probe]:
    def used() -> tuple[float, ...]:
        # psutil's own `percent` is rounded to a tenth: an idle machine would look frozen
        memory = psutil.virtual_memory()
        return (1.0 - memory.available / memory.total,)

    return (GaugeProbe(("memory_used",), used),)


def swap_probes() -> Sequence[Probe]:
    if psutil.swap_memory().total == 0:
        return ()

    def used() -> tuple[float, ...]:
        swap = psutil.swap_memory()
        return (swap.used / swap.total if swap.total else 0.0,)

    return (SlowProbe(GaugeProbe(("swap_used",), used), hold_secs=1.0),)


def disk_probes() -> Sequence[Probe]:
    if psutil.disk_io_counters() is None:
        return ()

    def count() -> tuple[float, ...]:
        disk: Any = psutil.disk_io_counters()
        return (disk.read_bytes, disk.write_bytes)

    return (RateProbe(("disk_read_mb_s", "disk_write_mb_s"), count, 1 / BYTES_PER_MB),)


def network_probes() -> Sequence[Probe]:
    """All interfaces but the loopback."""

    def count() -> tuple[float, ...]:
        links = [link for name, link in psutil.net_io_counters(pernic=True).items() if name != "lo"]
        return (sum(link.bytes_sent for link in links), sum(link.bytes_recv for link in links))

    if set(psutil.net_io_counters(pernic=True) or {}) <= {"lo"}:
        return ()
    return (RateProbe(("network_sent_mb_s", "network_received_mb_s"), count, 1 / BYTES_PER_MB),)


def process_probes() -> Sequence[Probe]:
    """This process: processor seconds a second (above 1 with several threads busy), and resident memory."""
    process = psutil.Process(os.getpid())

    def cpu_secs() -> tuple[float, ...]:
        times = process.cpu_times()
        return (float(times.user + times.system),)

    return (
        RateProbe(("process_cpu",), cpu_secs, 1.0),
        GaugeProbe(("process_memory_gb",), lambda: (process.memory_info().rss / 1e9,)),
    )


def temperature_probes(sysfs: Path) -> Sequence[Probe]:
    """Thermal zones by type, and the hottest input of each hwmon chip that is not a zone. sysfs: /sys, or a
    copy of its form.
    """
    files = _zone_files(sysfs)
    for name, inputs in _chip_files(sysfs).items():
        files.setdefault(name, inputs)
    return tuple(
        SlowProbe(GaugeProbe((f"temperature_{name}",), _hottest_of(inputs)), hold_secs=1.0)
        for name, inputs in files.items()
    )


def power_probes(sysfs: Path) -> Sequence[Probe]:
    """Power of each rail that an INA3221 measures (Jetson), by its label: mV times mA."""
    probes = []
    for chip in sorted(sysfs.glob("class/hwmon/hwmon*")):
        if _name_of(chip / "name", "") != "ina3221":
            continue
        for label in sorted(chip.glob("in*_label")):
            number = label.name.removeprefix("in").removesuffix("_label")
            files = (chip / f"in{number}_input", chip / f"curr{number}_input")
            rail = _name_of(label, "").replace(" ", "_")
            # the fourth to seventh channel are sums, which have no current of their own
            if rail and all(map(_is_readable, files)):
                probes.append(GaugeProbe((f"power_{rail}_w",), _power_of(*files)))
    return tuple(probes)


def _power_of(voltage: Path, current: Path) -> Callable[[], tuple[float, ...]]:
    return lambda: (_milli(voltage) * _milli(current),)


def _hottest_of(files: Sequence[Path]) -> Callable[[], tuple[float, ...]]:
    return lambda: (max(_milli(path) for path in files),)


def _zone_files(sysfs: Path) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    for zone in sorted(sysfs.glob("class/thermal/thermal_zone*"), key=lambda path: int(path.name[12:])):
        name = _name_of(zone / "type", "-thermal")
        if name and _is_readable(zone / "temp"):
            files.setdefault(name, []).append(zone / "temp")
    return files


def _chip_files(sysfs: Path) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    for chip in sorted(sysfs.glob("class/hwmon/hwmon*")):
        inputs = [path for path in sorted(chip.glob("temp*_input")) if _is_readable(path)]
        name = _name_of(chip / "name", "_thermal")
        if name and inputs:
            files.setdefault(name, []).extend(inputs)
    return files


def _name_of(path: Path, suffix: str) -> str:
    """Empty where the file cannot be read."""
    try:
        return path.read_text().strip().removesuffix(suffix).lower()
    except (OSError, ValueError):
        return ""


def _is_readable(path: Path) -> bool:
    """A Jetson's zones of parts that are off exist, but reading them gives EAGAIN."""
    try:
        _milli(path)
    except (OSError, ValueError):
        return False
    return True


def _milli(path: Path) -> float:
    return int(path.read_text()) / 1000.0
