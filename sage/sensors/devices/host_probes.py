"""What a machine can tell of itself, one probe a subject: named numbers in units near 1, so that a model can
use them.

Invariant: a probe's names are settled when it is made; `read_into` writes one finite number for each, or
raises. Fractions are 0..1, rates MB/s since the last read, memory GB, frequency GHz, temperature degrees C,
power W.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import psutil

from sage.sensors.contract import SensorError

BYTES_PER_MB = 1e6


class Probe(Protocol):
    """One subject. names: a name for each number.  prime: take the first counts that rates are told from."""

    names: tuple[str, ...]

    def prime(self) -> None: ...

    def read_into(self, out: np.ndarray, elapsed_secs: float) -> None:
        """out: (len(names),) float32.  elapsed_secs: since the last read, or since `prime`."""
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
                f"the machine now has {len(counts)} cores, not {len(self._last)}: start again to sense"
                " them all"
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
    """Numbers that are what they are at the moment of reading."""

    def __init__(self, names: tuple[str, ...], measure: Callable[[], tuple[float, ...]]) -> None:
        self.names = names
        self._measure = measure

    def prime(self) -> None:
        """Nothing to count from."""

    def read_into(self, out: np.ndarray, elapsed_secs: float) -> None:
        out[:] = self._measure()


class RateProbe:
    """Counters that only grow, told as their growth a second times `scale`."""

    def __init__(self, names: tuple[str, ...], count: Callable[[], tuple[float, ...]], scale: float) -> None:
        self.names = names
        self._count = count
        self._scale = scale
        self._last = np.array(count(), dtype=np.float64)

    def prime(self) -> None:
        self._last = np.array(self._count(), dtype=np.float64)

    def read_into(self, out: np.ndarray, elapsed_secs: float) -> None:
        counts = np.array(self._count(), dtype=np.float64)
        # A counter that was reset (a device left) tells nothing, not a negative rate.
        out[:] = np.maximum(counts - self._last, 0.0) * (self._scale / max(elapsed_secs, 1e-6))
        self._last = counts


class SlowProbe:
    """Asks a gauge at most once in `hold_secs` and repeats its answer: chips that take milliseconds to
    tell.
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


def frequency_probe() -> Probe | None:
    if psutil.cpu_freq() is None:
        return None
    return SlowProbe(
        GaugeProbe(("frequency_ghz",), lambda: (psutil.cpu_freq().current / 1000.0,)), hold_secs=1.0
    )


def memory_probe() -> Probe:
    def used() -> tuple[float, ...]:
        memory = (
            psutil.virtual_memory()
        )  # its own `percent` is rounded to a tenth: an idle machine would look frozen
        return (1.0 - memory.available / memory.total,)

    return GaugeProbe(("memory_used",), used)


def swap_probe() -> Probe | None:
    if psutil.swap_memory().total == 0:
        return None

    def used() -> tuple[float, ...]:
        swap = psutil.swap_memory()
        return (swap.used / swap.total if swap.total else 0.0,)

    return SlowProbe(GaugeProbe(("swap_used",), used), hold_secs=1.0)


def disk_probe() -> Probe | None:
    if psutil.disk_io_counters() is None:
        return None

    def count() -> tuple[float, ...]:
        disk: Any = psutil.disk_io_counters()
        return (disk.read_bytes, disk.write_bytes)

    return RateProbe(("disk_read_mb_s", "disk_write_mb_s"), count, 1 / BYTES_PER_MB)


def network_probe() -> Probe | None:
    """All interfaces but the loopback."""

    def count() -> tuple[float, ...]:
        links = [link for name, link in psutil.net_io_counters(pernic=True).items() if name != "lo"]
        return (sum(link.bytes_sent for link in links), sum(link.bytes_recv for link in links))

    if set(psutil.net_io_counters(pernic=True)) <= {"lo"}:
        return None
    return RateProbe(("network_sent_mb_s", "network_received_mb_s"), count, 1 / BYTES_PER_MB)


def process_probe() -> Probe:
    """This process: what SAGE itself costs."""
    return ProcessProbe(psutil.Process(os.getpid()))


class ProcessProbe:
    """Processor seconds a second (above 1 with several threads busy), and resident memory."""

    names: tuple[str, ...] = ("process_cpu", "process_memory_gb")

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self.prime()

    def prime(self) -> None:
        self._last_secs = self._cpu_secs()

    def read_into(self, out: np.ndarray, elapsed_secs: float) -> None:
        secs = self._cpu_secs()
        out[0] = (secs - self._last_secs) / max(elapsed_secs, 1e-6)
        out[1] = self._process.memory_info().rss / 1e9
        self._last_secs = secs

    def _cpu_secs(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)


def temperature_probe(sysfs: Path) -> Probe | None:
    """Thermal zones by type, and the hottest input of each hwmon chip that is no zone. sysfs: /sys, or a copy
    of its form.
    """
    files = _zone_files(sysfs)
    for name, inputs in _chip_files(sysfs).items():
        files.setdefault(name, inputs)
    if not files:
        return None
    names = tuple(f"temperature_{name}" for name in files)
    groups = tuple(files.values())

    def measure() -> tuple[float, ...]:
        return tuple(max(_milli(path) for path in group) for group in groups)

    return SlowProbe(GaugeProbe(names, measure), hold_secs=1.0)


def _zone_files(sysfs: Path) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    for zone in sorted(sysfs.glob("class/thermal/thermal_zone*"), key=lambda path: int(path.name[12:])):
        if _is_readable(zone / "temp"):
            name = (zone / "type").read_text().strip().removesuffix("-thermal").lower()
            files.setdefault(name, []).append(zone / "temp")
    return files


def _chip_files(sysfs: Path) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    for chip in sorted(sysfs.glob("class/hwmon/hwmon*")):
        inputs = [path for path in sorted(chip.glob("temp*_input")) if _is_readable(path)]
        if inputs:
            name = (chip / "name").read_text().strip().removesuffix("_thermal").lower()
            files.setdefault(name, []).extend(inputs)
    return files


def _is_readable(path: Path) -> bool:
    """Jetson's zones of parts that are off exist but answer with EAGAIN."""
    try:
        _milli(path)
    except (OSError, ValueError):
        return False
    return True


def _milli(path: Path) -> float:
    return int(path.read_text()) / 1000.0
