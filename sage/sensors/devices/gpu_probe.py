"""The GPU's figures: NVML where there is an NVIDIA driver, a Jetson's devfreq load where there is none.

Invariant: each figure is a probe of its own, so that one that a GPU does not support costs that figure only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sage.sensors.contract import SensorError
from sage.sensors.devices.host_probes import GaugeProbe, Probe

#: How a Jetson names its GPU's devfreq device (Orin: 17000000.gpu; Xavier: 17000000.gv11b).
JETSON_GPU_NAMES = ("*.gpu", "*.ga10b", "*.gv11b")


def gpu_probes(sysfs: Path) -> Sequence[Probe]:
    """Empty on a machine without a GPU. sysfs: /sys, or a copy of its form."""
    return _nvml_probes() or _devfreq_probes(sysfs)


def _nvml_probes() -> Sequence[Probe]:
    """Empty without the package nvidia-ml-py, or without a driver."""
    try:
        import pynvml
    except ImportError:
        return ()
    try:
        pynvml.nvmlInit()
        return probes_of(pynvml)
    except (pynvml.NVMLError, SensorError):
        return ()


def probes_of(nvml: Any) -> Sequence[Probe]:
    """Load, memory, temperature and power of each GPU. nvml: the module pynvml, initialised.

    Some figures raise when read: NVML has no memory figure on boards with unified memory, for example.
    """
    figures: dict[str, Callable[[Any], float]] = {
        "load": lambda gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100.0,
        "memory_used": lambda gpu: _memory_used(nvml.nvmlDeviceGetMemoryInfo(gpu)),
        "temperature": lambda gpu: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU),
        "power_w": lambda gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000.0,
    }
    return tuple(
        GaugeProbe((f"gpu{index}_{figure}",), _measure(nvml, index, read))
        for index in range(nvml.nvmlDeviceGetCount())
        for figure, read in figures.items()
    )


def _measure(nvml: Any, index: int, read: Callable[[Any], float]) -> Callable[[], tuple[float, ...]]:
    def measure() -> tuple[float, ...]:
        try:
            return (float(read(nvml.nvmlDeviceGetHandleByIndex(index))),)
        except nvml.NVMLError as error:
            raise SensorError(f"NVML: {error}") from error

    return measure


def _memory_used(memory: Any) -> float:
    return float(memory.used / memory.total)


def _devfreq_probes(sysfs: Path) -> Sequence[Probe]:
    files = [path for name in JETSON_GPU_NAMES for path in sysfs.glob(f"class/devfreq/{name}/device/load")]
    if not files:
        return ()
    return (GaugeProbe(("gpu0_load",), lambda: (int(files[0].read_text()) / 1000.0,)),)
