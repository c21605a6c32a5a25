"""MCAP files and ROS bags of other programs as sensors: values, pictures, times, the kit, and wrong files."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sage.app.cli.main import invoke
from sage.errors import DataError
from sage.mailbox.clock import ManualClock
from sage.sensors.contract import Sensor, SensorContext, SensorError, SensorUnavailable, SourceExhausted
from sage.sensors.recordings.fields import picture, reader_of
from sage.sensors.recordings.mcap_sensor import McapConfig, McapSensor
from sage.sensors.recordings.rosbag_sensor import RosbagConfig, RosbagSensor
from sage.sensors.recordings.topic_sensor import TopicConfig, TopicSensor
from sage.sensors.testing.conformance import check_sensor

START_NS = 1_700_000_000_000_000_000
STEP_NS = 20_000_000
NUM = 10
PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def make(kind: type[Any], config: Any, clock: ManualClock) -> Sensor:
    sensor: Sensor = kind(config, SensorContext(clock=clock, epoch_ns=clock.now_ns()))
    return sensor


def read_all(kind: type[Any], config: Any) -> list[tuple[int, np.ndarray]]:
    """(captured_ns, values) of every reading."""
    clock = ManualClock()
    sensor = make(kind, config, clock)
    sensor.open()
    out = np.zeros(sensor.spec.tensor.shape, dtype=sensor.spec.tensor.dtype)
    found = []
    try:
        while True:
            reading = sensor.read_into(out)
            if reading is None:
                clock.advance(1_000_000)
            else:
                assert reading.captured_ns <= clock.now_ns()
                found.append((reading.captured_ns, out.copy()))
    except SourceExhausted:
        return found
    finally:
        sensor.close()


@pytest.fixture(scope="module")
def mcap_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JSON vectors, JSON and Protobuf pictures, a topic without messages, one of an unknown encoding."""
    writer_module = pytest.importorskip("mcap.writer", reason="pip install 'sage-runtime[recording]'")
    path = tmp_path_factory.mktemp("mcap") / "other.mcap"
    with path.open("wb") as stream:
        writer = writer_module.Writer(stream)
        writer.start()
        schema = writer.register_schema("Imu", "jsonschema", b'{"type":"object"}')
        image = writer.register_schema("foxglove.RawImage", "jsonschema", b'{"type":"object"}')
        imu = writer.register_channel("/imu", "json", schema)
        eye = writer.register_channel("/eye", "json", image)
        writer.register_channel("/silent", "json", schema)
        odd = writer.register_channel("/odd", "flatbuffer", schema)
        for index in range(NUM):
            at_ns = START_NS + index * STEP_NS
            message = {"timestamp": {"sec": 1}, "a": {"x": index, "y": -index}, "list": [0.5, None][:1]}
            add(writer, imu, at_ns, message)
            if index % 2 == 0:
                data = base64.b64encode(PIXELS.tobytes()).decode()
                size = {"width": 6, "height": 4, "step": 18, "encoding": "bgr8"}
                add(writer, eye, at_ns, size | {"data": data})
        writer.add_message(odd, log_time=START_NS, data=b"x", publish_time=START_NS)
        writer.finish()
    return path


def add(writer: Any, channel: int, at_ns: int, message: dict[str, Any]) -> None:
    data = json.dumps(message).encode()
    writer.add_message(channel, log_time=at_ns, data=data, publish_time=at_ns - 1_000_000)


def test_numbers_of_an_mcap_file_are_read_at_their_times(mcap_path: Path) -> None:
    every = read_all(McapSensor, McapConfig(path=mcap_path, topic="/imu"))
    assert [at_ns for at_ns, _ in every] == [index * STEP_NS for index in range(NUM)]
    assert [values.tolist() for _, values in every] == [[index, -index, 0.5] for index in range(NUM)]
    spec = make(McapSensor, McapConfig(path=mcap_path, topic="/imu"), ManualClock()).spec
    assert spec.channels == ("a.x", "a.y", "list[0]")
    assert spec.period_ns == STEP_NS
    chosen = McapConfig(path=mcap_path, topic="/imu", fields=("list[0]", "a.y"), max_rate_hz=25,
                        time_zero_secs=0.02, stop_secs=0.13)  # fmt: skip
    found = read_all(McapSensor, chosen)
    assert [at_ns for at_ns, _ in found] == [0, 2 * STEP_NS, 4 * STEP_NS]
    assert [values.tolist() for _, values in found] == [[0.5, -1], [0.5, -3], [0.5, -5]]


def test_pictures_of_an_mcap_file_are_rgb(mcap_path: Path) -> None:
    found = read_all(McapSensor, McapConfig(path=mcap_path, topic="/eye"))
    assert len(found) == NUM // 2
    assert np.array_equal(found[0][1], PIXELS[..., ::-1])


def test_protobuf_pictures_are_read(tmp_path: Path) -> None:
    """Written by Foxglove's own SDK."""
    foxglove = pytest.importorskip("foxglove", reason="pip install 'sage-runtime[foxglove]'")
    pytest.importorskip("google.protobuf", reason="pip install 'sage-runtime[sensors]'")
    from foxglove.messages import RawImage, Vector3

    path, context = tmp_path / "sdk.mcap", foxglove.Context()
    with foxglove.open_mcap(str(path), context=context):
        images = foxglove.Channel(
            "/eye", schema=RawImage.get_schema(), message_encoding="protobuf", context=context
        )
        vectors = foxglove.Channel(
            "/v", schema=Vector3.get_schema(), message_encoding="protobuf", context=context
        )
        image = RawImage(width=6, height=4, step=18, encoding="rgb8", data=PIXELS.tobytes())
        images.log(image.encode(), log_time=START_NS)
        vectors.log(Vector3(x=1.5, y=-2.0, z=0.0).encode(), log_time=START_NS + 5)
    assert np.array_equal(read_all(McapSensor, McapConfig(path=path, topic="/eye"))[0][1], PIXELS)
    assert read_all(McapSensor, McapConfig(path=path, topic="/v"))[0][1].tolist() == [1.5, -2.0, 0.0]


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same messages as a bag of ROS 1, and as bags of ROS 2 with both kinds of storage."""
    pytest.importorskip("rosbags", reason="pip install 'sage-runtime[sensors]'")
    from rosbags.rosbag1 import Writer as Writer1
    from rosbags.rosbag2 import StoragePlugin
    from rosbags.rosbag2 import Writer as Writer2
    from rosbags.typesys import Stores, get_typestore

    folder = tmp_path_factory.mktemp("bags")
    paths = {"ros1": folder / "one.bag", "sqlite": folder / "sqlite", "mcap": folder / "mcap"}
    store = get_typestore(Stores.ROS1_NOETIC)
    with Writer1(paths["ros1"]) as writer1:
        fill(writer1, store, store.serialize_ros1)
    store = get_typestore(Stores.ROS2_HUMBLE)
    for name, plugin in (("sqlite", StoragePlugin.SQLITE3), ("mcap", StoragePlugin.MCAP)):
        with Writer2(paths[name], version=9, storage_plugin=plugin) as writer2:
            fill(writer2, store, store.serialize_cdr)
    return paths


def fill(writer: Any, store: Any, serialize: Callable[..., Any]) -> None:
    types = store.types
    header = _filled(store, "std_msgs/msg/Header")
    for topic, name in (("/imu", "sensor_msgs/msg/Imu"), ("/eye", "sensor_msgs/msg/Image")):
        connection = writer.add_connection(topic, name, typestore=store)
        for index in range(NUM):
            if topic == "/imu":
                vector = types["geometry_msgs/msg/Vector3"](x=float(index), y=2.0, z=-1.0)
                message = dataclasses.replace(_filled(store, name), header=header, linear_acceleration=vector)
            else:
                data = PIXELS.reshape(-1)
                message = types[name](header=header, height=4, width=6, encoding="rgb8", is_bigendian=0,
                                      step=18, data=data)  # fmt: skip
            writer.write(connection, START_NS + index * STEP_NS, serialize(message, name))


def _filled(store: Any, name: str) -> Any:
    """A message of zeros and empty texts."""
    values = {}
    for field, (kind, detail) in store.fielddefs[name][1]:
        if kind.name == "NAME":
            values[field] = _filled(store, detail)
        elif kind.name == "BASE":
            values[field] = "" if detail[0] == "string" else 0
        else:
            values[field] = np.zeros(detail[1])
    return store.types[name](**values)


@pytest.mark.parametrize("name", ["ros1", "sqlite", "mcap"])
def test_bags_are_read(name: str, bags: dict[str, Path]) -> None:
    fields = ("linear_acceleration.x", "linear_acceleration.z", "orientation_covariance[8]")
    found = read_all(RosbagSensor, RosbagConfig(path=bags[name], topic="/imu", fields=fields))
    assert [at_ns for at_ns, _ in found] == [index * STEP_NS for index in range(NUM)]
    assert [values.tolist() for _, values in found] == [[index, -1.0, 0.0] for index in range(NUM)]
    pictures = read_all(RosbagSensor, RosbagConfig(path=bags[name], topic="/eye"))
    assert np.array_equal(pictures[-1][1], PIXELS)


def test_an_mcap_file_of_ros_is_read_alone(bags: dict[str, Path]) -> None:
    path = next(bags["mcap"].glob("*.mcap"))
    found = read_all(McapSensor, McapConfig(path=path, topic="/imu", fields=("linear_acceleration.x",)))
    assert [values.tolist() for _, values in found] == [[index] for index in range(NUM)]


def test_the_conformance_kit_passes(mcap_path: Path, bags: dict[str, Path]) -> None:
    for kind, config in (
        (McapSensor, McapConfig(path=mcap_path, topic="/imu")),
        (McapSensor, McapConfig(path=mcap_path, topic="/eye")),
        (RosbagSensor, RosbagConfig(path=bags["sqlite"], topic="/imu")),
    ):
        clock = ManualClock()
        results = check_sensor(
            lambda kind=kind, config=config, clock=clock: make(kind, config, clock), clock=clock
        )
        assert not [result for result in results if not result.is_ok]


@pytest.mark.parametrize(
    ("topic", "more", "expected"),
    [
        ("/none", {}, "/eye, /imu, /odd, /silent"),
        ("/silent", {}, "no message"),
        ("/odd", {}, "flatbuffer"),
        ("/imu", {"fields": ("a.z",)}, "no field 'z': it has x, y"),
        ("/imu", {"fields": ("a",)}, "no number"),
        ("/imu", {"fields": ("list[7]",)}, "no element 7"),
        ("/imu", {"time_zero_secs": 100.0}, "time_zero_secs"),
    ],
)
def test_a_wrong_choice_is_one_line(topic: str, more: dict[str, Any], expected: str, mcap_path: Path) -> None:
    with pytest.raises(SensorUnavailable) as caught:
        make(McapSensor, McapConfig(path=mcap_path, topic=topic, **more), ManualClock())
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"#ROSBAG V2.0\n", b"a text"])
def test_a_wrong_file_is_one_line(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rosbags", reason="pip install 'sage-runtime[sensors]'")
    pytest.importorskip("mcap", reason="pip install 'sage-runtime[recording]'")
    for kind, name in (("mcap", "wrong.mcap"), ("rosbag", "wrong.bag"), ("rosbag", "absent.bag")):
        path = tmp_path / name
        if not name.startswith("absent"):
            path.write_bytes(content)
        capsys.readouterr()
        assert invoke(["sensors", "check", kind, "--set", f"path={path}", "--set", "topic=/imu"]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    "wrong",
    [{"data": "abc"}, {"data": [300]}, {"data": None}, {"data": ["x"]}, {"height": None}, {"step": "wide"}],
)
def test_a_picture_whose_message_is_wrong_is_one_line(wrong: dict[str, Any]) -> None:
    message = {"data": "AAAA", "encoding": "rgb8", "height": 1, "width": 1, "step": 3}
    assert picture(message, "foxglove.RawImage").shape == (1, 1, 3)
    with pytest.raises(DataError, match="a picture"):
        picture(message | wrong, "foxglove.RawImage")


class DamagedFile:
    """100 messages, a second apart, with a place where the file cannot be read on."""

    topics, start_ns, damaged = (("/x", "X"),), 0, 70

    def messages(self, topic: str, from_ns: int) -> Iterator[tuple[int, Callable[[], Any]]]:
        for number in range(-(-from_ns // 10**9), 100):
            if number == self.damaged:
                raise DataError("the file is damaged")
            yield number * 10**9, partial(dict, x=float(number))

    def close(self) -> None: ...


class DamagedSensor(TopicSensor):
    def _open_file(self, path: Path) -> DamagedFile:
        return DamagedFile()


def test_readings_on_both_sides_of_a_damaged_place_are_delivered(tmp_path: Path) -> None:
    clock = ManualClock()
    config = TopicConfig(kind="x", path=tmp_path, topic="/x")
    sensor = make(DamagedSensor, config, clock)
    sensor.open()
    out, values, num_faults = np.zeros(1, np.float32), [], 0
    for _ in range(90):
        try:
            if sensor.read_into(out) is not None:
                values.append(int(out[0]))
        except SensorError:
            num_faults += 1
            sensor.close()
            clock.advance(2 * 10**9)  # a driver's pause
            sensor.open()
            continue
        clock.advance(10**9)
    assert values[:70] == list(range(70))
    assert 72 in values
    assert num_faults == 1


def damaged_mcap(path: Path, damaged: set[int], num: int = 200) -> McapConfig:
    """Messages of a number and of a picture, 20 ms apart, of which some are no JSON."""
    writer_module = pytest.importorskip("mcap.writer", reason="pip install 'sage-runtime[recording]'")
    with path.open("wb") as stream:
        writer = writer_module.Writer(stream)
        writer.start()
        schema = writer.register_schema("X", "jsonschema", b"{}")
        image = writer.register_schema("foxglove.RawImage", "jsonschema", b"{}")
        channels = [
            writer.register_channel(name, "json", each) for name, each in (("/x", schema), ("/eye", image))
        ]
        data = base64.b64encode(PIXELS.tobytes()).decode()
        view = {"width": 6, "height": 4, "step": 18, "encoding": "bgr8", "data": data}
        for index in range(num):
            for channel, message in zip(channels, ({"x": index}, view)):
                text = b"{ damaged" if index in damaged else json.dumps(message).encode()
                at_ns = START_NS + index * STEP_NS
                writer.add_message(channel, log_time=at_ns, data=text, publish_time=at_ns)
        writer.finish()
    return McapConfig(path=path, topic="/x")


@pytest.mark.parametrize("damaged", [{0}, {5}, {0, 1, 30, 199}])
def test_a_damaged_message_costs_no_other_one(damaged: set[int], tmp_path: Path) -> None:
    config = damaged_mcap(tmp_path / "damaged.mcap", damaged)
    whole = [index for index in range(200) if index not in damaged]
    assert [values.item() for _, values in read_all(McapSensor, config)] == whole
    clock = ManualClock()
    sensor = make(McapSensor, config, clock)
    assert (sensor.spec.period_ns, sensor.spec.channels) == (STEP_NS, ("x",))
    sensor.open()
    clock.advance(4 * 10**9)
    out = np.zeros(1, np.float32)
    readings = [sensor.read_into(out) for _ in whole]
    assert [each.sequence for each in readings if each] == whole  # the loop counts the gaps
    after = readings[whole.index(min(damaged) + 2)]
    assert after is not None
    assert after.quality < 1
    assert "the first one: a message is no JSON" in after.health
    if damaged == {5}:
        assert readings[0] is not None
        assert readings[-1] is not None
        assert (readings[0].health, readings[-1].health) == ("", "")
    views = read_all(McapSensor, config.model_copy(update={"topic": "/eye"}))
    assert len(views) == len(whole)


def test_a_topic_without_a_whole_message_is_a_fault(tmp_path: Path) -> None:
    config = damaged_mcap(tmp_path / "none.mcap", set(range(64)), 100)
    with pytest.raises(SensorUnavailable, match="/x: a message is no JSON"):
        make(McapSensor, config, ManualClock())
    config = damaged_mcap(tmp_path / "end.mcap", set(range(30, 200)))
    clock = ManualClock()
    sensor = make(McapSensor, config, clock)
    sensor.open()
    clock.advance(4 * 10**9)
    out = np.zeros(1, np.float32)
    for _ in range(30):
        assert sensor.read_into(out) is not None
    with pytest.raises(SensorError, match="64 in a row: a message is no JSON"):
        sensor.read_into(out)


def test_a_number_beyond_float64_is_a_fault_of_its_message() -> None:
    with pytest.raises(DataError, match="field 'x' is beyond float64"):
        reader_of(("x",))({"x": 10**400})
