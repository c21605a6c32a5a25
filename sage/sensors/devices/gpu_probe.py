"""The GPU as the host sees it: NVML where there is a driver, a Jetson's devfreq load where there is not.

Invariant: looking for a GPU never fails; a machine without one has no probe.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sage.sensors.contract import SensorError
from sage.sensors.devices.host_probes import GaugeProbe, Probe

#: How a Jetson names its GPU's devfreq device (Orin: 17000000.gpu; Xavier: 17000000.gv11b).
JETSON_GPU_NAMES = ("*.gpu", "*.ga10b", "*.gv11b")


def gpu_probe(sysfs: Path) -> Probe | None:
    """sysfs: /sys, or a copy of its form."""
    return NvmlProbe.find() or _devfreq_probe(sysfs)


class NvmlProbe:
    """Load, memory, temperature and power of each GPU of the NVIDIA driver."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        quantities = ("load", "memory_used", "temperature", "power_w")
        self.names = tuple(
            f"gpu{index}_{quantity}" for index in range(len(self._handles)) for quantity in quantities
        )

    @classmethod
    def find(cls) -> NvmlProbe | None:
        """None without the package nvidia-ml-py, the driver, or a GPU that tells all of it."""
        try:
            import pynvml
        except ImportError:
            return None
        try:
            pynvml.nvmlInit()
            probe = cls(pynvml)
            probe.read_into(np.empty(len(probe.names), dtype=np.float32), 1.0)
        except (pynvml.NVMLError, SensorError):
            return None
        return probe if probe.names else None

    def prime(self) -> None:
        """Nothing to count from."""

    def read_into(self, out: np.ndarray, elapsed_secs: float) -> None:
        nvml = self._nvml
        try:
            for index, handle in enumerate(self._handles):
                memory = nvml.nvmlDeviceGetMemoryInfo(handle)
                out[4 * index : 4 * index + 4] = (
                    nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100.0,
                    memory.used / memory.total,
                    nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
                    nvml.nvmlDeviceGetPowerUsage(handle) / 1000.0,
                )
        except nvml.NVMLError as error:
            raise SensorError(f"NVML: {error}") from error


def _devfreq_probe(sysfs: Path) -> Probe | None:
    files = [path for name in JETSON_GPU_NAMES for path in sysfs.glob(f"class/devfreq/{name}/device/load")]
    if not files:
        return None
    return GaugeProbe(("gpu0_load",), lambda: (int(files[0].read_text()) / 1000.0,))
