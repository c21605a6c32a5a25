"""Sources over zenoh on one host: newest reading, counted gaps, a sender that begins again, bad messages."""

from __future__ import annotations

import dataclasses
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from sage.mailbox.clock import RealClock
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.contract import (
    READING_DTYPES,
    Reading,
    SensorContext,
    SensorError,
    SensorSpec,
    SensorUnavailable,
)
from sage.sensors.remote import link
from sage.sensors.remote.link import list_sources
from sage.sensors.remote.remote_sensor import RemoteConfig, RemoteSensor
from sage.sensors.remote.sender import HostSender
from sage.sensors.remote.wire import key_of

zenoh = pytest.importorskip("zenoh")

IMU = SensorSpec(
    name="imu",
    modality="physical",
    tensor=TensorSpec(shape=(3,), dtype="float32"),
    period_ns=10_000_000,
    observes=("acceleration", "m/s^2"),
)
CAMERA = SensorSpec(
    name="front",
    modality="physical",
    tensor=TensorSpec(shape=(24, 32, 3), dtype="uint8"),
    period_ns=33_000_000,
    observes=("light", "sRGB 0..255"),
)
#: One source of each type, by its name.
TYPED = [
    dataclasses.replace(IMU, name=each, tensor=TensorSpec(shape=(2, 3), dtype=each))
    for each in READING_DTYPES
]
NUM_TRIES = 400


class Pair:
    """A sending host and remote sensors of it, on one machine."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.endpoint = f"tcp/127.0.0.1:{probe.getsockname()[1]}"
        self.clock = RealClock()
        self.context = SensorContext(clock=self.clock, epoch_ns=self.clock.now_ns())
        self.sender = self.begin()

    def begin(self, imu: SensorSpec = IMU) -> HostSender:
        return HostSender("robot", (imu, CAMERA, *TYPED), self.clock, listen=[self.endpoint])

    def sensor(self, **changes: Any) -> RemoteSensor:
        keys = {
            "name": "imu",
            "endpoint": self.endpoint,
            "host": "robot",
            "shape": (3,),
            "rate_hz": 100,
            "quantity": "acceleration",
            "unit": "m/s^2",
        }
        return RemoteSensor(RemoteConfig(**{**keys, **changes}), self.context)

    def send(self, values: np.ndarray, sequence: int, source: str = "imu", **changes: Any) -> int:
        captured_ns = self.clock.now_ns()
        claims = {"noise_std": 0.1, "quality": 0.9, "confidence": 0.8, "health": "dust"}
        reading = Reading(
            captured_ns=captured_ns, received_ns=captured_ns, sequence=sequence, **{**claims, **changes}
        )
        self.sender.sources[source].send(values, reading)
        return captured_ns


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.sender.close()


def read(sensor: RemoteSensor, out: np.ndarray, again: Callable[[], object] = lambda: None) -> Reading:
    """The next reading; `again` is called before each try."""
    for _ in range(NUM_TRIES):
        again()
        reading = sensor.read_into(out)
        if reading is not None:
            return reading
    raise AssertionError("no reading arrived")


def test_a_reading_arrives_with_its_time_on_this_clock(pair: Pair) -> None:
    sensor = pair.sensor()
    sensor.open()
    out = np.zeros(3, np.float32)
    sent: list[int] = []
    values = np.array([1, 2, 3], np.float32)
    reading = read(sensor, out, lambda: sent.append(pair.send(values, 7)))
    assert out.tolist() == [1, 2, 3]
    # what was sent before the first reading is not lost
    assert (reading.sequence, reading.quality, reading.confidence, reading.noise_std) == (0, 0.9, 0.8, 0.1)
    assert reading.health == "dust"
    error_ns = sensor._host.value.clock_error_ns  # type: ignore[union-attr]
    assert min(abs(reading.captured_ns - each) for each in sent) <= error_ns + 1
    assert reading.received_ns >= reading.captured_ns
    sensor.close()
    sensor.close()
    with pytest.raises(SensorError, match="read while closed"):
        sensor.read_into(out)


def test_pictures_travel_as_jpeg(pair: Pair) -> None:
    pytest.importorskip("PIL.Image")
    sensor = pair.sensor(
        name="view", source="front", shape=(24, 32, 3), dtype="uint8", rate_hz=30, quantity="light",
        unit="sRGB 0..255",
    )  # fmt: skip
    sensor.open()
    out = np.zeros((24, 32, 3), np.uint8)
    picture = np.full((24, 32, 3), (200, 30, 90), np.uint8)
    read(sensor, out, lambda: pair.send(picture, 0, "front"))
    assert np.abs(out.astype(int) - picture).max() < 12
    sensor.close()


def test_a_sender_that_begins_again_counts_on(pair: Pair) -> None:
    sensor = pair.sensor()
    sensor.open()
    out = np.zeros(3, np.float32)
    values = np.zeros(3, np.float32)
    assert read(sensor, out, lambda: pair.send(values, 40)).sequence == 0
    pair.sender.close()
    pair.sender = pair.begin()
    while (reading := read(sensor, out, lambda: pair.send(values, 0))).sequence == 0:
        pass  # one of the first run, sent twice
    assert reading.sequence == 1
    sensor.close()


def test_a_sender_that_begins_again_with_another_description_is_a_fault(pair: Pair) -> None:
    """Of the same size, so that its values would be read as those of the first run."""
    sensor = pair.sensor()
    sensor.open()
    out, values = np.zeros(3, np.float32), np.zeros(3, np.float32)
    read(sensor, out, lambda: pair.send(values, 0))
    pair.sender.close()
    pair.sender = pair.begin(dataclasses.replace(IMU, observes=("acceleration", "g")))

    def read_on() -> None:
        for _ in range(NUM_TRIES):  # readings of the first run may be under way
            read(sensor, out, lambda: pair.send(values, 0))

    try:
        with pytest.raises(SensorUnavailable, match="correct the configuration"):
            read_on()
    finally:
        sensor.close()
        pair.sender.close()
        pair.sender = pair.begin()


@pytest.mark.parametrize("dtype", READING_DTYPES)
def test_values_of_every_type_are_read_back(pair: Pair, dtype: str) -> None:
    sensor = pair.sensor(source=dtype, dtype=dtype, shape=(2, 3))
    sensor.open()
    sent = np.array([[0, 1, 1], [0, 3, 5]]).astype(dtype)
    if sent.dtype.kind != "b":
        limits = np.finfo(dtype) if sent.dtype.kind == "f" else np.iinfo(dtype)
        sent[0, :2] = limits.min, limits.max
    out = np.zeros((2, 3), dtype)
    read(sensor, out, lambda: pair.send(sent, 0, dtype))
    assert out.tolist() == sent.tolist()
    sensor.close()


class Ahead(RealClock):
    """The clock of a host that was restarted: another offset."""

    def now_ns(self) -> int:
        return super().now_ns() + 100 * 10**9


def test_a_sender_with_another_clock_is_measured_at_once(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "SYNC_SECS", 1000.0)
    sensor = pair.sensor()
    sensor.open()
    out, values = np.zeros(3, np.float32), np.zeros(3, np.float32)
    read(sensor, out, lambda: pair.send(values, 0))
    pair.sender.close()
    clock, pair.clock = pair.clock, Ahead()
    pair.sender = pair.begin()
    try:
        host = sensor._host.value  # type: ignore[union-attr]
        for _ in range(NUM_TRIES):
            read(sensor, out, lambda: pair.send(values, 0))
            if abs(host.local_ns(pair.clock.now_ns()) - clock.now_ns()) < 10**9:
                break
        assert abs(host.local_ns(pair.clock.now_ns()) - clock.now_ns()) < 10**9
    finally:
        sensor.close()
        pair.sender.close()
        pair.clock = clock
        pair.sender = pair.begin()


def test_a_broken_link_does_not_end_the_measurement(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "SYNC_SECS", 0.01)
    host = link.RemoteHost("robot", pair.endpoint, pair.clock)
    num_asked = threading.Semaphore(0)

    class Broken:
        close = host.session.close

        def get(self, key: str, timeout: float) -> Any:
            num_asked.release()
            raise zenoh.ZError("the link is broken")

    host.session = Broken()
    try:
        assert all(num_asked.acquire(timeout=10.0) for _ in range(3))
    finally:
        host.close()


def test_a_message_that_cannot_be_read_is_a_fault_and_the_next_one_is_read(pair: Pair) -> None:
    sensor = pair.sensor()
    sensor.open()
    out = np.zeros(3, np.float32)
    stranger = pair.sender._session.declare_publisher(key_of("robot", "imu"))
    with pytest.raises(SensorError, match=r"imu: (header|message) "):
        read(sensor, out, lambda: stranger.put(b"\x00" * 12, attachment=b"nonsense"))
    stranger.undeclare()

    def reads() -> bool:
        try:
            return sensor.read_into(out) is not None
        except SensorError:  # of a message that was under way
            return False

    for _ in range(NUM_TRIES):
        pair.send(np.ones(3, np.float32), 1)
        if reads():
            break
    assert out.tolist() == [1, 1, 1]
    sensor.close()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"shape": (4,)}, r"shape is \(4,\), host robot sends \(3,\): correct the configuration"),
        ({"unit": "g"}, "quantity, unit"),
        ({"source": "lidar"}, "host robot has no source lidar"),
        ({"host": "other"}, "no clock of host other answers"),
        ({"endpoint": "tcp/127.0.0.1:9"}, "tcp/127.0.0.1:9: .*check the endpoint and the other host"),
    ],
)
def test_what_does_not_fit_is_one_line(pair: Pair, changes: dict[str, Any], problem: str) -> None:
    sensor = pair.sensor(**changes)
    with pytest.raises(SensorUnavailable, match=problem):
        sensor.open()
    assert pair.context.connections.num_open == 0


def test_sources_are_listed(pair: Pair) -> None:
    assert set(list_sources(pair.endpoint)) == {("robot", name) for name in ("imu", "front", *READING_DTYPES)}
