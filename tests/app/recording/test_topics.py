"""Sources whose names make the topics of other channels: `x` and `x/status`, `x/text`, `x/pose`."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sage.app.recording.channels import pose_channel, reading_channel, status_channel
from sage.app.recording.export import export_recording
from sage.app.recording.items import Readings, Status, Text
from sage.app.recording.mcap_sink import McapSink, RunRecord
from sage.app.recording.messages import Messages
from sage.mailbox.clock import ManualClock
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.board import AnswerText
from sage.sensors.contract import Reading, SensorContext, SensorSpec
from sage.sensors.recordings.codec import SOURCE_KEY, encode_reading
from sage.sensors.recordings.mcap_file import McapFile
from sage.sensors.recordings.recorded_sensor import RecordedConfig, RecordedSensor

pytest.importorskip("mcap", reason="pip install 'sage-runtime[recording]'")

NAMES = ("x", "x/status", "x/text", "x/pose", "x/status_2")
START_NS = 1000
RUN = RunRecord(run={"start_ns": str(START_NS)}, effectors=(), config="name: a\n")


def spec_of(name: str) -> SensorSpec:
    return SensorSpec(
        name=name,
        modality="physical",
        tensor=TensorSpec(shape=(4,)),
        period_ns=5,
        observes=("orientation", "quaternion"),
    )


def values_of(index: int) -> np.ndarray:
    return np.full(4, index, dtype=np.float32)


def record(path: Path) -> None:
    """A reading of each source, and a fault and a text of each."""
    sink = McapSink(path, RUN)
    specs = [spec_of(name) for name in NAMES]
    messages = Messages(sink, specs, epoch_ns=0, start_ns=START_NS, loop_epoch_ns=0, jpeg=False)
    for index, name in enumerate(NAMES):
        reading = Reading(captured_ns=index, received_ns=index, sequence=index)
        messages.write(Text(name, AnswerText(sequence=index, text=f"said by {name}", right=None), index))
        messages.write(Readings(name, values_of(index), reading, index))
        messages.write(Status(name, "fault", f"fault of {name}", index + 100))
    messages.close(0, "")


def record_as_before(path: Path) -> None:
    """Several channels have one topic."""
    sink = McapSink(path, RUN)
    specs = [spec_of(name) for name in NAMES]
    readings = []
    for spec in specs:
        readings.append(sink.add_channel(reading_channel(spec, "values")))
        status, pose = sink.add_channel(status_channel(spec)), sink.add_channel(pose_channel(spec.name))
        plain = {"status": "fault", "message": f"fault of {spec.name}"}
        at = {"publish_ns": START_NS, "sequence": 0}
        sink.write(status, json.dumps(plain).encode(), log_ns=START_NS + 100, **at)
        sink.write(pose, b'{"frame_id":"world"}', log_ns=START_NS, **at)
    for index, channel in enumerate(readings):
        reading = Reading(captured_ns=0, received_ns=0, sequence=index)
        message = encode_reading(
            values_of(index), reading, form="values", keys=(), frame="", stamp_ns=START_NS
        )
        at_ns = START_NS + index
        sink.write(channel, json.dumps(message).encode(), log_ns=at_ns, publish_ns=at_ns, sequence=index)
    sink.close({})


def replayed(path: Path, name: str) -> list[float]:
    clock = ManualClock()
    sensor = RecordedSensor(
        RecordedConfig(name="again", path=path, source=name), SensorContext(clock=clock, epoch_ns=0)
    )
    out, found = np.zeros(4, dtype=np.float32), []
    sensor.open()
    clock.advance(50)
    while sensor.read_into(out) is not None:
        found.append(float(out[0]))
    sensor.close()
    return found


def test_every_channel_has_a_topic_of_its_own(tmp_path: Path) -> None:
    record(tmp_path / "run.mcap")
    with McapFile(tmp_path / "run.mcap") as file:
        topics = [channel.topic for channel in file.channels()]
        readings = {channel.topic: channel.metadata.get(SOURCE_KEY) for channel in file.channels()}
    assert len(topics) == len(set(topics))
    assert [readings[f"/sensors/{name}"] for name in NAMES] == list(NAMES)
    assert readings["/sensors/x/status_3"] == "x"
    assert readings["/sensors/x/text_2"] == "x"
    assert readings["/sensors/x/status/status"] == "x/status"


@pytest.mark.parametrize("write", [record, record_as_before])
def test_each_source_is_replayed_and_exported_by_itself(
    write: Callable[[Path], None], tmp_path: Path
) -> None:
    """In recordings of earlier versions too."""
    path = tmp_path / "run.mcap"
    write(path)
    for index, name in enumerate(NAMES):
        assert replayed(path, name) == [index], name
    files = {file.name: file for file in export_recording(path, tmp_path / "out", "csv")}
    for index, name in enumerate(NAMES):
        with files[f"source.{name.replace('/', '_')}.csv"].open(newline="") as file:
            assert [row["c0"] for row in csv.DictReader(file)] == [str(float(index))]
    with files["status.csv"].open(newline="") as file:
        rows = [(row["source"], row["message"]) for row in csv.DictReader(file)]
    assert sorted(rows) == sorted((name, f"fault of {name}") for name in NAMES)
