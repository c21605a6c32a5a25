"""An IMU on a pseudo-terminal: three forms of frames, damage, silence, unplugging and return, its offset."""

from __future__ import annotations

import contextlib
import os
import threading
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage.mailbox.clock import ManualClock
from sage.sensors.contract import SensorContext, SensorError, SensorUnavailable
from sage.sensors.devices.imu import ImuConfig, ImuSensor
from sage.sensors.devices.imu_lines import FrameCount, FrameParser, binary_frame, crc16, nmea_line
from sage.sensors.driver.calibration import CalibrationFolder
from sage.sensors.testing.conformance import check_sensor

pytest.importorskip("serial", reason="the IMU needs the package pyserial")
VALUES = (0.5, -1.25, 9.75, 0.125, -0.25, 0.5)
FRAMES: dict[str, Callable[[tuple[float, ...]], bytes]] = {
    "csv": lambda values: (",".join(map(str, values)) + "\n").encode(),
    "nmea": lambda values: nmea_line("PSIMU", values),
    "binary": binary_frame,
}


class Line:
    """A device on a pseudo-terminal, at a path that does not change when it is plugged in again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plug_in()

    def plug_in(self) -> None:
        self.device, self.terminal = os.openpty()
        tty.setraw(self.device)
        self.path.symlink_to(os.ttyname(self.terminal))

    def unplug(self) -> None:
        self.path.unlink()
        os.close(self.terminal)
        os.close(self.device)

    def send(self, data: bytes) -> None:
        os.write(self.device, data)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    line = Line(tmp_path / "imu")
    yield line
    line.unplug()


def opened(line: Line, context: SensorContext, **keys: Any) -> ImuSensor:
    sensor = ImuSensor(ImuConfig(port=str(line.path), **keys), context)
    sensor.open()
    return sensor


def test_the_health_is_one_text_while_frames_are_damaged(line: Line, context: SensorContext) -> None:
    """Each change of it is an event of the run."""
    sensor = opened(line, context, format="nmea")
    out = np.zeros(6, dtype=np.float32)
    good = FRAMES["nmea"](VALUES)
    healths = set()
    for number in range(300):
        line.send(good if number % 7 else good + b"$damaged\r\n")
        reading = sensor.read_into(out)
        assert reading is not None
        healths.add(reading.health)
    assert len(healths - {""}) == 1
    sensor.close()


@pytest.mark.parametrize("form", FRAMES)
def test_each_form_is_read_and_damage_is_counted(
    form: str, line: Line, context: SensorContext, clock: ManualClock
) -> None:
    sensor = opened(line, context, format=form, angular_scale=2.0)
    out = np.zeros(6, dtype=np.float32)
    good = FRAMES[form](VALUES)
    damaged = bytearray(good)
    damaged[-4] ^= 0x10 if form != "csv" else 0x42
    line.send(good + good + bytes(damaged) + good[:7])
    readings = [sensor.read_into(out)]
    assert out.tolist() == [0.5, -1.25, 9.75, 0.25, -0.5, 1.0]
    assert sensor.num_damaged == 1
    readings.append(sensor.read_into(out))
    assert [reading.sequence for reading in readings if reading] == [0, 1]
    assert readings[1] is not None
    assert readings[1].quality == pytest.approx(2 / 3)
    assert readings[1].health == "some of the last 100 frames are damaged"
    assert sensor.read_into(out) is None  # the fourth is not whole yet
    clock.advance(5_000_000)
    line.send(good[7:])
    reading = sensor.read_into(out)
    assert reading is not None
    assert reading.sequence == 2
    assert reading.captured_ns == clock.now_ns()
    sensor.close()


def test_the_devices_own_count_shows_what_was_lost(line: Line, context: SensorContext) -> None:
    sensor = opened(line, context, columns=("count", "temperature", "ax"))
    out = np.zeros(1, dtype=np.float32)
    line.send(b"7,21.5,1.0\n9,21.5,2.0\n")
    sequences = [sensor.read_into(out), sensor.read_into(out)]
    assert [reading.sequence for reading in sequences if reading] == [7, 9]
    assert out.tolist() == [2.0]
    assert sensor.spec.channels == ("ax",)
    sensor.close()


def test_a_count_of_one_byte_goes_on_where_it_wraps_round(line: Line, context: SensorContext) -> None:
    columns = ("count", "ax", "ay", "az")
    sensor = opened(line, context, columns=columns)
    out = np.zeros(3, np.float32)
    sequences = []
    for count in (254, 255, 0, 2):
        line.send(f"{count},0,0,9.8\n".encode())
        reading = sensor.read_into(out)
        assert reading is not None
        sequences.append(reading.sequence)
    assert sequences == [254, 255, 256, 258]
    sensor.close()


@pytest.mark.parametrize(
    ("counts", "is_float32", "numbers"),
    [
        ([65_534, 65_535, 0, 1], False, [65_534, 65_535, 65_536, 65_537]),
        ([126, 127, -128, -127], False, [126, 127, 128, 129]),  # of a signed byte
        ([70_000, 0, 1], False, [70_000, 70_001, 70_002]),  # the device was switched off and on
        ([5, 5, 8], False, [5, 5, 8]),  # a frame twice, then two that are missing
        ([1 << 24, 1 << 24, (1 << 24) + 2], True, [0, 1, 2]),  # no longer exact
        ([None, None, None], False, [0, 1, 2]),
    ],
)
def test_frames_are_numbered_by_counts_that_begin_again(
    counts: list[int | None], is_float32: bool, numbers: list[int]
) -> None:
    count = FrameCount(is_float32=is_float32)
    assert [count.next(each) for each in counts] == numbers


def test_a_binary_frame_with_too_many_values_is_refused() -> None:
    with pytest.raises(ValueError, match="holds 63 at most"):
        ImuConfig(port="/dev/null", format="binary", columns=tuple(f"a{number}" for number in range(64)))


def test_silence_is_a_fault_with_what_to_check(
    line: Line, context: SensorContext, clock: ManualClock
) -> None:
    sensor = opened(line, context, format="nmea")
    out = np.zeros(6, dtype=np.float32)
    line.send(b"\n$X,1*00\n$Y,2*00\n")
    assert sensor.read_into(out) is None
    clock.advance(1_100_000_000)
    with pytest.raises(SensorError, match=r"no frame for 1\.1 s, 2 damaged: check the cable, baud"):
        sensor.read_into(out)
    sensor.close()


def test_a_port_that_is_missing_is_one_line(tmp_path: Path, context: SensorContext) -> None:
    sensor = ImuSensor(ImuConfig(port=str(tmp_path / "none")), context)
    with pytest.raises(SensorUnavailable, match="none: no such device: plug it in, or correct `port`"):
        sensor.open()
    sensor.close()
    for keys in ({"columns": ("ax", "ax")}, {"columns": ("x",)}, {"columns": ("ax",), "rest_secs": 1}):
        with pytest.raises(ValueError, match="columns"):
            ImuConfig(port="x", **keys)


def test_the_offset_is_measured_once_at_rest_and_kept(
    line: Line, context: SensorContext, tmp_path: Path
) -> None:
    sensor = opened(line, context, rest_secs=0.04)
    out = np.zeros(6, dtype=np.float32)
    moving = [(0, 0, 9.75, 0.0, 0.0, float(k)) for k in range(4)]
    at_rest = [(0, 0, 9.75, 0.25, 0.0, -0.5)] * 5
    seen = []
    for values in moving + at_rest:
        line.send(FRAMES["csv"](values))
        reading = sensor.read_into(out)
        assert reading is not None
        seen.append((reading.quality, bool(reading.health), out[3:].tolist()))
    assert [each[:2] for each in seen] == [(0.5, True)] * 7 + [(1.0, False)] * 2
    assert seen[-1][2] == [0.0, 0.0, 0.0]
    assert sensor.calibration() == {"gyroscope_offset": [0.25, 0.0, -0.5]}
    sensor.close()
    CalibrationFolder(tmp_path / "kept").save(sensor.spec, sensor.calibration())
    again = ImuSensor(ImuConfig(port=str(line.path), rest_secs=0.04), context)
    kept = CalibrationFolder(tmp_path / "kept").load(again.spec)
    assert kept is not None
    again.restore(kept)
    again.open()
    line.send(FRAMES["csv"](at_rest[0]))
    assert again.read_into(out) is not None
    assert out[3:].tolist() == [0.0, 0.0, 0.0]
    again.close()
    with pytest.raises(SensorError, match="no offset of three axes"):
        again.restore({"gyroscope_offset": [1.0]})


def test_unplugged_it_is_in_quarantine_and_plugged_in_it_comes_back(
    new_rig: Callable[..., Any], context: SensorContext, tmp_path: Path
) -> None:
    line = Line(tmp_path / "imu")
    rig = new_rig(lambda: ImuSensor(ImuConfig(port=str(line.path)), context), backoff_secs=0.1)

    def tick_until(condition: Callable[[Any], bool]) -> Any:
        for _ in range(2000):
            statistics = rig.driver.statistics()
            if condition(statistics):
                return statistics
            if statistics.status == "running" and os.path.lexists(line.path):
                line.send(FRAMES["csv"](VALUES))
            if rig.driver._engine is not None:
                rig.driver._engine._worker.join(0.005)
            rig.tick(0.05)
        raise AssertionError(rig.driver.statistics())

    before = tick_until(lambda seen: seen.num_readings >= 3)
    assert before.num_faults == 0
    line.unplug()
    out = tick_until(lambda seen: seen.num_faults >= 2)
    assert out.status in ("quarantined", "starting")
    assert "imu" in out.last_error
    line.plug_in()
    back = tick_until(lambda seen: seen.num_readings >= before.num_readings + 3)
    assert back.status == "running"
    assert back.num_restarts == 1
    assert back.sequence > before.sequence
    rig.driver.close()
    line.unplug()


def test_it_passes_the_conformance_kit(line: Line, context: SensorContext, clock: ManualClock) -> None:
    """The device sends as fast as the terminal takes it."""
    has_ended = threading.Event()

    def send() -> None:
        frames = FRAMES["nmea"](VALUES) * 8
        while not has_ended.is_set():
            with contextlib.suppress(BlockingIOError):
                os.write(line.device, frames)
            has_ended.wait(0.001)

    os.set_blocking(line.device, False)
    sender = threading.Thread(target=send)
    sender.start()
    config = ImuConfig(port=str(line.path), format="nmea", rest_secs=0.1)
    try:
        results = check_sensor(lambda: ImuSensor(config, context), clock=clock)
    finally:
        has_ended.set()
        sender.join()
    assert not [f"{result.name}: {result.detail}" for result in results if not result.is_ok]


def test_crc16_is_ccitt_false() -> None:
    """The check value of the catalogue of CRC algorithms (Cook), CRC-16/IBM-3740."""
    assert crc16(b"123456789") == 0x29B1


@settings(max_examples=60, deadline=None)
@given(
    form=st.sampled_from(sorted(FRAMES)),
    noise=st.lists(st.binary(max_size=12), min_size=1, max_size=6),
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=8),
)
def test_whatever_comes_between_no_value_is_invented(form: str, noise: list[bytes], cuts: list[int]) -> None:
    """Every frame returned is one that was sent, however the stream is cut and disturbed."""
    stream = b"".join(FRAMES[form](VALUES) + (each if form != "csv" else b"") for each in noise)
    parser = FrameParser(form, 6)
    frames, place, turn = [], 0, 0
    while place < len(stream):
        size = cuts[turn % len(cuts)]
        frames += parser.feed(stream[place : place + size])
        place, turn = place + size, turn + 1
    assert all(frame == VALUES for frame in frames)
    if not any(noise):
        assert len(frames) == len(noise)
        assert parser.num_bad == 0
