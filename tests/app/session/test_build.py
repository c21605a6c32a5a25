"""From a configuration to a loop: what cannot be built is one line that names it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from sage.app.config.sage_config import SageConfig, build_config, load_config
from sage.app.config.yaml_file import YamlDocument
from sage.app.session.build import build_run
from sage.app.terminal.errors import UserError
from sage.mailbox.clock import ManualClock, RealClock
from sage.mailbox.tensor_spec import TensorSpec
from sage.runtime.report import State
from sage.sensors.devices.synthetic import SyntheticSensor
from sage.sensors.effectors.recording import RecordingEffector


def config(**sections: object) -> SageConfig:
    data = {
        "sensors": [{"kind": "synthetic", "name": "s"}],
        "model": {"hidden_size": 16, "num_heads": 2},
    } | sections
    return build_config(YamlDocument(data=data, source="test.yaml"))


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"sensors": []}, "sensors: none is enabled"),
        ({"sensors": [{"kind": "synthetic", "name": "s", "enabled": False}]}, "sensors: none is enabled"),
        ({"model": {"hidden_size": 30, "num_heads": 4}}, "num_heads is 4: give a divisor of 30"),
        (
            {"practice": {"burn_in_ticks": 16}},
            "practice.burn_in_ticks is 16: give less than practice.window_ticks, 16",
        ),
        (
            {"memory": {"num_transitions": 64}, "practice": {"window_ticks": 64}},
            "num_transitions is 64: give more than 68",
        ),
    ],
)
def test_sizes_that_do_not_fit_together_are_one_line(
    sections: dict[str, object], expected: str, tmp_path: Path
):
    with pytest.raises(UserError) as caught:
        build_run(config(**sections), ManualClock(), directory=tmp_path)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_a_video_is_refused_before_anything_runs(tmp_path: Path):
    pytest.importorskip("av")
    path = tmp_path / "letter.mp4"
    path.write_text("a letter")
    with pytest.raises(UserError, match=r"sensors\.v: .*letter\.mp4"):
        build_run(
            config(sensors=[{"kind": "video", "name": "v", "path": str(path)}]),
            RealClock(),
            directory=tmp_path,
        )


def test_a_missing_optional_sensor_is_listed_as_missing(tmp_path: Path):
    sensors = [
        {"kind": "synthetic", "name": "s"},
        {"kind": "table", "name": "t", "path": str(tmp_path / "gone.csv"), "time": "t", "optional": True},
    ]
    run = build_run(config(sensors=sensors), ManualClock(), directory=tmp_path)
    assert run.loop.layout.num_sources == 1
    ((name, reason),) = run.missing
    assert name == "t"
    assert "gone.csv" in reason
    run.close()


def test_the_guards_read_the_machines_zones_and_name_what_it_lacks(tmp_path: Path):
    """On a /sys with a disk's temperature beside the processor's."""
    files = {
        "thermal/thermal_zone0/type": "tj-thermal",
        "thermal/thermal_zone0/temp": "91000",
        "hwmon/hwmon0/name": "nvme",
        "hwmon/hwmon0/temp1_input": "35000",
    }
    for name, text in files.items():
        (tmp_path / "sys/class" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys/class" / name).write_text(f"{text}\n")
    guards = {"max_celsius": 95, "max_watts": 15, "sysfs_root": str(tmp_path / "sys")}
    run = build_run(config(guards=guards, sleep={"enabled": False}), RealClock(), directory=tmp_path)
    with closing(run):
        run.open()
        run.loop.run(num_ticks=2)
        between = run.loop.between_ticks
        assert between.allowance.share == pytest.approx(0.4)
        assert between.shrunk.startswith("temperature: 91 degrees Celsius")
        assert [name for name, _ in run.missing] == ["guards.max_watts"]
        (tmp_path / "sys/class/thermal/thermal_zone0/temp").write_text("97000\n")
        between._guards._next_ns = None
        run.loop.run(num_ticks=2)
        assert between.state is State.CRISIS
    replayed = build_run(config(guards=guards), ManualClock(), directory=tmp_path)
    assert replayed.missing == ()
    replayed.close()


def test_on_a_manual_clock_nights_are_inline(tmp_path: Path):
    run = build_run(config(), ManualClock(), directory=tmp_path)
    assert run.loop.config.sleep.where == "inline"
    run.close()
    run = build_run(config(), RealClock(), directory=tmp_path)
    assert run.loop.config.sleep.where == "process"
    run.close()


def test_the_default_run_builds_on_a_machine_of_which_no_figure_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> None:
        raise NotImplementedError("not on this machine")

    calls = ("cpu_times", "virtual_memory", "disk_io_counters", "net_io_counters")
    for call in calls:
        monkeypatch.setattr(psutil, call, fail)
    run = build_run(load_config("default"), RealClock(), directory=tmp_path)
    missing = dict(run.missing)
    run.close()
    assert missing.keys() >= {"cpu", "ram", "disk", "network"}
    assert missing["network"] == (
        "network: no network interface found (NotImplementedError: not on this machine);"
        " remove 'network' from `read` or set `optional: true`"
    )


@pytest.mark.parametrize("group", ["sensors", "effectors"])
def test_a_plug_in_whose_constructor_raises_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str
):
    def fail(*_: object) -> None:
        raise NotImplementedError("not on this machine")

    monkeypatch.setattr(SyntheticSensor if group == "sensors" else RecordingEffector, "__init__", fail)
    entry = {"kind": "synthetic" if group == "sensors" else "recording", "name": "x"}
    sections = {"sensors": [{"kind": "clock"}], **{group: [entry]}}
    with pytest.raises(UserError, match=rf"{group}\.x: .* cannot be made: NotImplementedError: not on this"):
        build_run(config(**sections), ManualClock(), directory=tmp_path)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (lambda self: {"name": "x"}, "spec is a dict: correct the plug-in: give a SensorSpec"),
        (lambda self: 1 / 0, "cannot be made: ZeroDivisionError"),
        (lambda self: replace(self._spec, name=7), "name is 7: give each sensor a name"),
        (lambda self: replace(self._spec, observes="speed"), "observes is 'speed': give .quantity, unit."),
        (
            lambda self: replace(self._spec, tensor=TensorSpec(shape=(4,), dtype="bfloat16")),
            "give a TensorSpec with one of bool, float16, float32",
        ),
    ],
)
def test_a_spec_that_cannot_be_one_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: Any, reason: str
):
    monkeypatch.setattr(SyntheticSensor, "spec", property(spec))
    with pytest.raises(UserError, match=rf"sensors\.s: .*{reason}"):
        build_run(config(), ManualClock(), directory=tmp_path)


def test_the_name_of_a_device_is_written_once(tmp_path: Path):
    sensor = {"kind": "host", "name": "heat", "read": ["temperature"], "sysfs_root": str(tmp_path)}
    with pytest.raises(UserError) as caught:
        build_run(config(sensors=[sensor]), ManualClock(), directory=tmp_path)
    assert str(caught.value) == (
        "sensors.heat: no temperature sensor found; remove 'temperature' from `read` or set `optional: true`"
    )
