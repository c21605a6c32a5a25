"""A recording replays with the same values and times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sage.app.devices.kinds import configure_kind
from sage.app.devices.record import record_kind
from sage.app.terminal.errors import UserError
from sage.mailbox.clock import ManualClock
from sage.sensors.contract import SensorContext
from sage.sensors.devices.synthetic import SyntheticSensor

SOURCE = ("rate_hz=20", "shape=[3]", "name=imu")


def test_a_recording_holds_time_and_every_channel(tmp_path: Path) -> None:
    out = tmp_path / "imu.npz"
    recording = record_kind("synthetic", SOURCE, seconds=2.0, out=out, clock=ManualClock())
    with np.load(out, allow_pickle=False) as arrays:
        table, columns = arrays["imu"], arrays["imu__cols"].tolist()
    assert columns == ["time", "c0", "c1", "c2"]
    assert table.shape == (recording.num_readings, 4)
    assert recording.num_readings == 40
    assert np.allclose(np.diff(table[:, 0]), 0.05)


@pytest.mark.parametrize("name", ["file", "allow_pickle", "left arm/1"])
def test_a_recording_holds_a_sensor_of_any_name(name: str, tmp_path: Path) -> None:
    settings, out = ("rate_hz=20", "shape=[3]", f"name={name}"), tmp_path / "it.npz"
    record_kind("synthetic", settings, seconds=1.0, out=out, clock=ManualClock())
    with np.load(out, allow_pickle=False) as arrays:
        assert arrays[name].shape == (20, 4)
        assert len(arrays[f"{name}__cols"]) == 4


def test_a_recording_replays_through_the_kind_table(tmp_path: Path) -> None:
    out = tmp_path / "imu.npz"
    record_kind("synthetic", SOURCE, seconds=2.0, out=out, clock=ManualClock())
    clock = ManualClock()
    table, config = configure_kind(
        "sensors", "table", [f"path={out}", "key=imu", "time=time", "time_zero_secs=0"]
    )
    sensor = table(config, SensorContext(clock=clock, epoch_ns=0))
    sensor.open()
    clock.advance(round(1e9))
    first = np.empty(3, dtype=np.float32)
    reading = sensor.read_into(first)
    with np.load(out, allow_pickle=False) as arrays:
        assert np.array_equal(first, arrays["imu"][0, 1:].astype(np.float32))
        assert reading.captured_ns == pytest.approx(arrays["imu"][0, 0] * 1e9, abs=2)


def test_a_recording_of_a_recording_starts_at_its_first_row(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("t,x\n5,20\n5.001,21\n5.002,22\n")
    out = tmp_path / "log.npz"
    settings = [f"path={tmp_path / 'log.csv'}", "time=t", "name=log"]
    recording = record_kind("table", settings, seconds=10.0, out=out)  # on the real clock
    assert recording.num_readings == 3
    with np.load(out) as arrays:
        assert arrays["log"][:, 1].tolist() == [20.0, 21.0, 22.0]
        assert arrays["log"][:, 0] == pytest.approx([0.0, 0.001, 0.002])


def test_a_sensor_without_a_reading_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no reading in 0 s: record for longer, its period is 0\.05 s"):
        record_kind("synthetic", SOURCE, seconds=0.0, out=tmp_path / "imu.npz", clock=ManualClock())
    assert not list(tmp_path.iterdir())


def test_what_a_plug_in_raises_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SyntheticSensor, "read_into", lambda self, out: 1 / 0)
    with pytest.raises(UserError, match=r"sensor synthetic: ZeroDivisionError: .*: correct the plug-in"):
        record_kind("synthetic", SOURCE, seconds=1.0, out=tmp_path / "imu.npz", clock=ManualClock())


def test_a_recording_stops_where_its_source_does(tmp_path: Path) -> None:
    recording = record_kind(
        "synthetic", [*SOURCE, "num_readings=5"], seconds=2.0, out=tmp_path / "x.npz", clock=ManualClock()
    )
    assert recording.num_readings == 5
