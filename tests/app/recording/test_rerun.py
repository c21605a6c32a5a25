"""Exports to rerun: what its own reader finds in a file."""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sage.app.cli.main import invoke
from sage.app.recording.export_rrd import export_rrd
from sage.app.recording.items import Log, Readings, Reported, Status, Text
from sage.app.recording.mcap_sink import McapSink, RunRecord
from sage.app.recording.messages import Messages
from sage.app.terminal.errors import UserError
from sage.mailbox.tensor_spec import TensorSpec
from sage.runtime.coherence.rows import CoherenceRow
from sage.runtime.report import (
    ActionFacts,
    CoherenceFacts,
    Event,
    LearningFacts,
    MemoryFacts,
    SleepOutcome,
    SleepReport,
    SourceFacts,
    State,
    TickFacts,
    TickReport,
    TickTiming,
)
from sage.sensors.board import AnswerText
from sage.sensors.contract import Reading, SensorSpec

rerun = pytest.importorskip("rerun", reason="pip install 'sage-runtime[rerun]'")
pytest.importorskip("mcap", reason="pip install 'sage-runtime[recording]'")

START_NS = 1_700_000_000_000_000_000


def spec_of(name: str, shape: tuple[int, ...], dtype: str = "float32", **more: Any) -> SensorSpec:
    tensor = TensorSpec(shape=shape, dtype=dtype)
    more = {"observes": ("air", "1")} | more
    return SensorSpec(name=name, modality="physical", tensor=tensor, period_ns=5, **more)


SPECS = [
    spec_of("imu", (2,), observes=("acceleration", "m/s^2"), channels=("x", "y[0]")),
    spec_of("left/eye", (4, 6, 3), "uint8"),
    spec_of("turn", (4,), observes=("orientation", "quaternion")),
    spec_of("sound", (300,), "int64"),
    spec_of("map", (20, 20), "bool"),
]
VALUES = {
    "imu": [1.5, math.nan],
    "left/eye": np.arange(72).reshape(4, 6, 3),
    "turn": [0.5, -0.5, 0.5, -0.5],
    "sound": np.arange(300) * 2**40,
    "map": np.eye(20),
}


def tick(number: int, state: State, trust: float) -> TickReport:
    source = SourceFacts(
        name="imu", status="running", sequence=1, age_ns=2, is_fresh=True, is_attended=True, trust=trust
    )
    other = SourceFacts(
        name="eye", status="starting", sequence=-1, age_ns=-1, is_fresh=False, is_attended=False
    )
    action = ActionFacts(
        effector="arm", asked=(1.0,), done=(0.5,), decision="allow", reason="", is_held=False
    )
    facts = TickFacts(
        tick=number,
        time_ns=number * 100,
        state=state,
        num_segments=2,
        value=math.nan,
        sources=(source, other),
        coherence=CoherenceFacts(xerr=0.25),
        memory=MemoryFacts(),
        learning=LearningFacts(),
        actions=(action,),
        events=(),
    )
    return TickReport(
        facts=facts, timing=TickTiming(total_ns=3_000_000, stages=(), model_ns=1, is_overrun=False)
    )


def write(path: Path) -> None:
    """A recording with messages of every kind."""
    run = {"start_ns": str(START_NS), "session": "s1", "name": "small"}
    sink = McapSink(path, RunRecord(run=run, effectors=(), config="name: small\n"))
    messages = Messages(sink, SPECS, epoch_ns=0, start_ns=START_NS, loop_epoch_ns=0, jpeg=False)
    for spec in SPECS:
        values = np.array(VALUES[spec.name], dtype=spec.tensor.dtype)
        reading = Reading(captured_ns=11, received_ns=12, sequence=7, quality=0.5)
        messages.write(Readings(spec.name, values, reading, 13))
    messages.write(Text("left/eye", AnswerText(sequence=7, text="a door"), 14))
    messages.write(Status("imu", "fault", "no reading", 15))
    messages.write(Log(Event(kind="missing", tick=2, source="imu", message="gone"), 16))
    messages.write(Reported(tick(1, State.WAKE, math.nan)))
    messages.write(Reported(tick(2, State.WAKE, 0.75)))
    messages.write(
        Reported(CoherenceRow(metric="rep.cka", modules="a,b", tick=2, time_ns=300, num=9, value=0.5))
    )
    night = SleepReport(
        outcome=SleepOutcome.ACCEPTED,
        reason="better",
        tick=2,
        num_replayed=1,
        num_examined=1,
        num_steps=1,
        gain=0.1,
    )
    messages.write(Reported(night, 400))
    messages.close(0, "")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recorded") / "run.mcap"
    write(path)
    return path


@pytest.fixture(scope="module")
def reader(recording: Path) -> Any:
    return rerun.chunk.RrdReader(export_rrd(recording, recording.with_name("run.rrd")))


@pytest.fixture(scope="module")
def rows(reader: Any) -> dict[str, list[dict[str, Any]]]:
    """Rows of each entity, in order of time; those without one first. Times are ns."""
    found: dict[str, list[dict[str, Any]]] = {}
    for chunk in reader.stream():
        batch = chunk.to_record_batch()
        columns = {}
        for name, column in zip(batch.schema.names, batch.columns):
            is_time = name.endswith("_time") and name in chunk.timeline_names
            columns[name] = column.cast("int64").to_pylist() if is_time else column.to_pylist()
        found.setdefault(chunk.entity_path, []).extend(
            {name: values[at] for name, values in columns.items()} for at in range(chunk.num_rows)
        )
    for each in found.values():
        each.sort(key=lambda row: (row.get("session_time", -1), row.get("tick", -1)))
    return found


def test_values_have_their_channels_and_times(rows: dict[str, list[dict[str, Any]]]) -> None:
    names, row = rows["/sensors/imu"]
    assert names["SeriesLines:names"] == ["x", "y[0]"]
    assert row["Scalars:scalars"][0] == 1.5
    assert math.isnan(row["Scalars:scalars"][1])
    assert (row["sage.Reading:sequence"], row["sage.Reading:quality"]) == ([7], [0.5])
    assert row["session_time"] == 13
    assert row["log_time"] == START_NS + 13
    assert row["publish_time"] == START_NS + 11
    assert row.get("tick") is None


def test_pictures_and_tensors_have_their_bytes(rows: dict[str, list[dict[str, Any]]]) -> None:
    [picture] = rows["/sensors/left/eye"]
    assert bytes(picture["Image:buffer"][0]) == bytes(range(72))
    assert (picture["Image:format"][0]["width"], picture["Image:format"][0]["height"]) == (6, 4)
    [sound], [grid] = rows["/sensors/sound"], rows["/sensors/map"]
    assert sound["BarChart:values"][0]["buffer"] == VALUES["sound"].tolist()
    assert grid["Tensor:data"][0]["shape"] == [20, 20]
    assert grid["Tensor:value_range"] == [[0, 1]]
    assert grid["Tensor:data"][0]["buffer"] == np.eye(20, dtype=int).reshape(-1).tolist()


def test_an_orientation_is_a_transform(rows: dict[str, list[dict[str, Any]]]) -> None:
    pose = rows["/sensors/turn/pose"][-1]
    assert pose["Transform3D:quaternion"] == [[-0.5, 0.5, -0.5, 0.5]]  # x, y, z, w
    assert pose["Transform3D:translation"] == [[0, 0, 0]]


def test_texts_and_events_have_their_levels(rows: dict[str, list[dict[str, Any]]]) -> None:
    found = {
        path: (row["TextLog:text"], row["TextLog:level"])
        for path, entity in rows.items()
        for row in entity
        if "TextLog:text" in row
    }
    assert found == {
        "/sensors/left/eye/text": (["a door"], ["INFO"]),
        "/sensors/imu/status": (["fault: no reading"], ["ERROR"]),
        "/sage/events/imu": (["missing: gone"], ["WARN"]),
        "/sage/sleep": (["night accepted: better"], ["INFO"]),
    }


def test_ticks_are_series_on_the_timeline_of_ticks(rows: dict[str, list[dict[str, Any]]]) -> None:
    names, first, second = rows["/sage/tick/trust"]
    assert names["SeriesLines:names"] == ["imu", "eye"]
    assert (first["tick"], second["tick"]) == (1, 2)
    assert second["session_time"] == 200
    assert math.isnan(first["Scalars:scalars"][0])
    assert second["Scalars:scalars"][0] == 0.75
    assert rows["/sage/tick/coherence"][-1]["Scalars:scalars"][1] == 0.25
    assert rows["/sage/tick/timing"][-1]["Scalars:scalars"][0] == 3.0
    assert rows["/sage/tick/actions/arm"][-1]["Scalars:scalars"] == [0.5]
    assert [row["StateChange:state"] for row in rows["/sage/tick/state"]] == [["wake"]]
    assert rows["/sage/coherence/rep.cka/a\\,b"][-1]["Scalars:scalars"][0] == 0.5
    assert rows["/sage/sleep/figures"][-1]["Scalars:scalars"][2] == 0.1


def test_a_file_opens_with_views_of_its_sources(reader: Any) -> None:
    assert [each.recording_id for each in reader.recordings()] == ["s1"]
    [layout] = reader.blueprints()
    named = [
        name for chunk in reader.stream(store=layout) for name in _column(chunk, "ViewBlueprint:display_name")
    ]
    assert {"left/eye: air", "turn/pose", "sound: air", "map: air"} <= set(named)
    assert "imu: acceleration in m/s^2" in named
    assert {"trust", "surprise", "coherence", "log", "state"} <= set(named)


def _column(chunk: Any, name: str) -> list[str]:
    batch = chunk.to_record_batch()
    found = [
        value for at, each in enumerate(batch.schema.names) if name in each for value in batch[at].to_pylist()
    ]
    return [value for values in found for value in values or ()]


def test_the_command_writes_a_file_once(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run.rrd"
    command = ["recording", "export", str(recording), "--out", str(out), "--format", "rrd"]
    assert invoke([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"files": [str(out)]}
    before = out.read_bytes()
    assert invoke(command) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("no file is written over: give another name")
    assert out.read_bytes() == before
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("kind", ["cut", "damaged", "other"])
def test_a_recording_that_cannot_be_read_is_one_line(
    kind: str, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, data = tmp_path / "run.mcap", recording.read_bytes()
    middle = data.index(b"a door") if b"a door" in data else 2000
    broken = {
        "cut": data[:-100],
        "damaged": data[:middle] + b"\xff" * 20 + data[middle + 20 :],
        "other": b"no",
    }
    path.write_bytes(broken[kind])
    assert (
        invoke(["recording", "export", str(path), "--out", str(tmp_path / "a.rrd"), "--format", "rrd"]) == 2
    )
    [line] = capsys.readouterr().err.splitlines()
    assert str(path) in line
    assert list(tmp_path.iterdir()) == [path]


def test_outputs_that_cannot_be_written_are_one_line(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ends in \.rrd"):
        export_rrd(recording, tmp_path / "tables")
    with pytest.raises(UserError, match="no such file or directory: give a file that can be written"):
        export_rrd(recording, tmp_path / "none" / "a.rrd")


def test_a_full_disk_leaves_no_file(recording: Path, tmp_path: Path) -> None:
    """The limit is the size of a file: the write fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(UserError, match="free space"):
            export_rrd(recording, tmp_path / "a.rrd")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_one_line(
    recording: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    command = ["recording", "export", str(recording), "--out", str(tmp_path / "a.rrd"), "--format", "rrd"]
    assert invoke(command) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "--format rrd needs the package rerun-sdk" in line
    assert line.endswith("pip install 'sage-runtime[rerun]'")


def test_rerun_switched_off_is_one_line(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RERUN", "off")
    with pytest.raises(UserError, match="RERUN is 'off': unset it"):
        export_rrd(recording, tmp_path / "a.rrd")
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_to_the_home_folder(recording: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "import sys; from pathlib import Path; from sage.app.recording.export_rrd import export_rrd;"
        "from sage.app.recording.rerun_sink import RerunServer;"
        "export_rrd(Path(sys.argv[1]), Path(sys.argv[2])); RerunServer(0).close({})"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    ran = subprocess.run(
        [sys.executable, "-c", code, str(recording), str(tmp_path / "a.rrd")],
        env=environment | {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert not list(home.iterdir())
