import shutil
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from sage.mailbox.clock import ManualClock
from sage.sensors.contract import SensorContext, SensorError, SensorUnavailable
from sage.sensors.devices import gpu_probe, host_probes
from sage.sensors.devices.host import HostConfig, HostSensor
from sage.sensors.devices.host_limits import HostLimits


def opened(context: SensorContext, **settings: Any) -> HostSensor:
    sensor = HostSensor(HostConfig.model_validate(settings), context)
    sensor.open()
    return sensor


def read(sensor: HostSensor, clock: ManualClock, secs: float = 0.1) -> dict[str, float]:
    """The channels, by name, of the reading after `secs`."""
    out = np.full(sensor.spec.tensor.shape, np.nan, dtype=np.float32)
    clock.advance(round(secs * 1e9))
    assert sensor.read_into(out) is not None
    return dict(zip(sensor.spec.channels, out.tolist(), strict=True))


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.fixture
def jetson(tmp_path: Path) -> Path:
    """A /sys as an Orin has it: zones in milli-degrees, one of a part that is off, the GPU's load in per
    mille.
    """
    write(
        tmp_path / "sys",
        {
            "class/thermal/thermal_zone0/type": "cpu-thermal\n",
            "class/thermal/thermal_zone0/temp": "48500\n",
            "class/thermal/thermal_zone1/type": "gpu-thermal\n",
            "class/thermal/thermal_zone1/temp": "46125\n",
            "class/thermal/thermal_zone2/type": "cv0-thermal\n",
            "class/thermal/thermal_zone2/temp": "",
            "class/thermal/thermal_zone10/type": "tj-thermal\n",
            "class/thermal/thermal_zone10/temp": "49000\n",
            "class/hwmon/hwmon0/name": "nvme\n",
            "class/hwmon/hwmon0/temp1_input": "35000\n",
            "class/hwmon/hwmon0/temp2_input": "41000\n",
            "class/hwmon/hwmon1/name": "cpu_thermal\n",
            "class/hwmon/hwmon1/temp1_input": "48500\n",
            "class/devfreq/17000000.gpu/device/load": "250\n",
            "class/hwmon/hwmon2/name": "ina3221\n",
            "class/hwmon/hwmon2/in1_label": "VDD_IN\n",
            "class/hwmon/hwmon2/in1_input": "5000\n",
            "class/hwmon/hwmon2/curr1_input": "1500\n",
            "class/hwmon/hwmon2/in2_label": "VDD_CPU_GPU_CV\n",
            "class/hwmon/hwmon2/in2_input": "4960\n",
            "class/hwmon/hwmon2/curr2_input": "400\n",
            "class/hwmon/hwmon2/in7_label": "sum of shunt voltages\n",
            "class/hwmon/hwmon2/in7_input": "12\n",
        },
    )
    return tmp_path / "sys"


def test_this_machines_figures_are_finite_and_in_range(clock: ManualClock, context: SensorContext) -> None:
    values = read(opened(context), clock)
    assert np.isfinite(list(values.values())).all()
    assert all(0 <= values[f"cpu{core}"] <= 1 for core in range(len(psutil.cpu_times(percpu=True))))
    assert 0 < values["memory_used"] < 1
    assert 0.001 < values["process_memory_gb"] < 1000
    assert values["process_cpu"] >= 0


def test_channels_are_known_before_open_and_stay(context: SensorContext) -> None:
    sensor = HostSensor(HostConfig(read=("memory", "process")), context)
    assert sensor.spec.channels == ("memory_used", "process_cpu", "process_memory_gb")
    assert sensor.spec.tensor.shape == (3,)
    assert sensor.spec.is_bounded


def test_one_reading_a_period(clock: ManualClock, context: SensorContext) -> None:
    sensor = opened(context, read=["memory"], period_secs=0.1)
    out = np.zeros(1, dtype=np.float32)
    assert sensor.read_into(out) is None
    clock.advance(100_000_000)
    first = sensor.read_into(out)
    assert sensor.read_into(out) is None
    clock.advance(350_000_000)
    second = sensor.read_into(out)
    assert first is not None
    assert second is not None
    assert (first.sequence, second.sequence) == (0, 1)
    assert second.captured_ns == clock.now_ns()


def test_load_is_the_busy_share_of_what_the_kernel_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    times = psutil.cpu_times(percpu=False)._replace(**dict.fromkeys(psutil.cpu_times()._fields, 0.0))
    counts = iter(
        [
            times,
            times._replace(user=3.0, idle=0.5, iowait=0.5),
            times._replace(user=3.0, idle=0.5, iowait=0.5),
        ]
    )
    now = next(counts)
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: [now])
    probe = host_probes.CpuProbe()
    out = np.zeros(1, dtype=np.float32)
    now = next(counts)
    probe.read_into(out, 4.0)
    assert out[0] == 0.75
    probe.read_into(out, 0.001)
    assert out[0] == 0.75  # nothing counted yet: the load it had


def test_a_core_that_went_offline_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = host_probes.CpuProbe()
    one_more = [*psutil.cpu_times(percpu=True), psutil.cpu_times(percpu=True)[0]]
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: one_more)
    with pytest.raises(SensorError, match="cores"):
        probe.read_into(np.zeros(len(probe.names), dtype=np.float32), 0.1)


def test_rates_are_differences_a_second_and_never_negative() -> None:
    counts = iter([(0.0,), (1e6,), (6e6,), (2e6,)])
    probe = host_probes.RateProbe(("bytes",), lambda: next(counts), 1e-6)
    out = np.zeros(1, dtype=np.float32)
    probe.prime()
    probe.read_into(out, 0.5)
    assert out[0] == 10.0
    probe.read_into(out, 1.0)
    assert out[0] == 0.0


def test_a_jetsons_zones_and_gpu_are_found_in_its_sysfs(
    clock: ManualClock, context: SensorContext, jetson: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_probe, "_nvml_probes", tuple)
    sensor = opened(context, read=["temperature", "power", "gpu"], sysfs_root=jetson)
    assert read(sensor, clock) == {
        "temperature_cpu": 48.5,
        "temperature_gpu": 46.125,
        "temperature_tj": 49.0,
        "temperature_nvme": 41.0,
        "power_vdd_in_w": pytest.approx(7.5),
        "power_vdd_cpu_gpu_cv_w": pytest.approx(1.984),
        "gpu0_load": 0.25,
    }


def test_the_guards_read_the_hottest_zone_and_the_boards_input(jetson: Path, tmp_path: Path) -> None:
    """Also where a chip has a temperature of its own: psutil then reads no zone."""
    limits = HostLimits(jetson)
    assert limits.celsius() == 49.0
    assert limits.watts() == pytest.approx(7.5)
    write(jetson, {"class/thermal/thermal_zone10/temp": "91500\n", "class/thermal/thermal_zone0/temp": ""})
    assert limits.celsius() == 91.5  # of those that can be read
    write(jetson, {"class/hwmon/hwmon2/in1_label": "VDD_GPU\n"})
    assert HostLimits(jetson).watts() == pytest.approx(7.5 + 1.984)  # no input: the sum
    nothing = HostLimits(tmp_path / "none")
    assert (nothing.celsius(), nothing.watts()) == (None, None)


def test_temperatures_are_read_once_a_second(
    clock: ManualClock, context: SensorContext, jetson: Path
) -> None:
    sensor = opened(context, read=["temperature"], sysfs_root=jetson)
    read(sensor, clock)
    write(jetson, {"class/thermal/thermal_zone0/temp": "60000\n"})
    assert read(sensor, clock)["temperature_cpu"] == 48.5
    assert read(sensor, clock, secs=1.0)["temperature_cpu"] == 60.0


def test_a_zone_that_disappears_costs_its_own_figure(
    clock: ManualClock, context: SensorContext, jetson: Path
) -> None:
    sensor = opened(context, read=["temperature"], sysfs_root=jetson)
    read(sensor, clock)
    (jetson / "class/thermal/thermal_zone0/temp").unlink()
    write(jetson, {"class/thermal/thermal_zone1/temp": "50000\n"})
    out = np.zeros(4, dtype=np.float32)
    clock.advance(1_000_000_000)
    reading = sensor.read_into(out)
    assert reading is not None
    assert reading.quality == 0.75
    assert out.tolist() == [48.5, 50.0, 49.0, 41.0]


def test_a_host_of_which_no_figure_can_be_read_is_a_fault(
    clock: ManualClock, context: SensorContext, jetson: Path
) -> None:
    sensor = opened(context, read=["temperature"], sysfs_root=jetson)
    shutil.rmtree(jetson / "class")
    with pytest.raises(SensorError, match="thermal_zone0"):
        read(sensor, clock)


FAILURES = (
    NotImplementedError("can't find current frequency file"),
    psutil.AccessDenied(1),
    RuntimeError("couldn't find /proc/diskstats"),
    PermissionError(13, "Permission denied"),
    None,
)


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
@pytest.mark.parametrize(
    ("call", "subject", "figures"),
    [
        ("cpu_times", "cpu", "cpu0"),
        ("cpu_freq", "frequency", "frequency_ghz"),
        ("virtual_memory", "memory", "memory_used"),
        ("swap_memory", "swap", "swap_used"),
        ("disk_io_counters", "disk", "disk_read_mb_s"),
        ("net_io_counters", "network", "network_sent_mb_s"),
    ],
)
def test_a_psutil_call_that_fails_costs_its_own_figures(
    clock: ManualClock,
    context: SensorContext,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    subject: str,
    figures: str,
    failure: Exception | None,
) -> None:
    def fail(*_: object, **__: object) -> None:
        if failure is not None:
            raise failure

    monkeypatch.setattr(psutil, call, fail)
    values = read(opened(context), clock)
    assert figures not in values
    assert "process_memory_gb" in values
    with pytest.raises(SensorUnavailable, match=f"remove '{subject}' from `read` or set `optional: true`"):
        HostSensor(HostConfig.model_validate({"read": [subject]}), context)


def test_a_call_that_fails_later_keeps_the_last_value_and_lowers_the_quality(
    clock: ManualClock, context: SensorContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensor = opened(context, read=["memory", "process"])
    before = read(sensor, clock)["memory_used"]
    failing = monkeypatch.context()
    with failing as patch:
        patch.setattr(psutil, "virtual_memory", lambda: None)
        out = np.zeros(3, dtype=np.float32)
        clock.advance(100_000_000)
        reading = sensor.read_into(out)
        assert reading is not None
        assert reading.quality == pytest.approx(2 / 3)
        assert out[0] == np.float32(before)
    clock.advance(100_000_000)
    reading = sensor.read_into(out)
    assert reading is not None
    assert reading.quality == 1.0


def test_a_rate_after_a_failed_read_covers_the_whole_time(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[Any] = [(0.0,), (0.0,), (0.0,), OSError("busy"), (6e6,)]

    def count() -> tuple[float, ...]:
        value = counts.pop(0)
        if isinstance(value, OSError):
            raise value
        return value  # type: ignore[no-any-return]

    probe = host_probes.TolerantProbe(host_probes.RateProbe(("bytes",), count, 1e-6))
    out = np.zeros(1, dtype=np.float32)
    probe.read_into(out, 1.0)
    assert probe.error == "OSError: busy"
    probe.read_into(out, 1.0)
    assert (probe.error, out[0]) == ("", 3.0)


def test_a_subject_that_is_missing_is_left_out_unless_it_is_named(
    context: SensorContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_probe, "_nvml_probes", tuple)
    channels = HostSensor(HostConfig(sysfs_root=tmp_path), context).spec.channels
    assert not any(name.startswith(("temperature", "gpu")) for name in channels)
    with pytest.raises(SensorUnavailable, match="no temperature sensor found; remove 'temperature'"):
        HostSensor(HostConfig(read=("temperature",), sysfs_root=tmp_path), context)


class Nvml:
    """pynvml with one GPU. unsupported: a function that raises."""

    NVML_TEMPERATURE_GPU = 0
    NVMLError = type("NVMLError", (Exception,), {})

    def __init__(self, unsupported: str = "") -> None:
        self._unsupported = unsupported

    def __getattr__(self, name: str) -> Any:
        answers = {
            "nvmlDeviceGetCount": 1,
            "nvmlDeviceGetHandleByIndex": "gpu",
            "nvmlDeviceGetMemoryInfo": type("M", (), {"used": 20, "total": 80}),
            "nvmlDeviceGetUtilizationRates": type("U", (), {"gpu": 30}),
            "nvmlDeviceGetTemperature": 55,
            "nvmlDeviceGetPowerUsage": 120_500,
        }

        def call(*_: object) -> Any:
            if name == self._unsupported:
                raise self.NVMLError("Not Supported")
            return answers[name]

        return call


def gpu_figures(
    context: SensorContext, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, nvml: Nvml
) -> dict[str, float]:
    monkeypatch.setattr(gpu_probe, "_nvml_probes", lambda: gpu_probe.probes_of(nvml))
    return read(opened(context, read=["gpu"]), clock)


def test_nvml_figures_are_fractions_degrees_and_watts(
    context: SensorContext, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = gpu_figures(context, clock, monkeypatch, Nvml())
    assert figures == pytest.approx(
        {"gpu0_load": 0.3, "gpu0_memory_used": 0.25, "gpu0_temperature": 55.0, "gpu0_power_w": 120.5}
    )


def test_a_figure_that_a_gpu_does_not_support_costs_that_figure_only(
    context: SensorContext, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = gpu_figures(context, clock, monkeypatch, Nvml("nvmlDeviceGetMemoryInfo"))
    assert set(figures) == {"gpu0_load", "gpu0_temperature", "gpu0_power_w"}


def test_reading_a_closed_host_raises(context: SensorContext) -> None:
    with pytest.raises(SensorError, match="open"):
        HostSensor(HostConfig(read=("memory",)), context).read_into(np.zeros(1, dtype=np.float32))
