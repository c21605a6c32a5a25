"""What a replay is made of, sources without readings, pictures as JPEG, and a queue that is full."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import structlog

from sage.app.cli.main import invoke
from sage.app.config.sage_config import SageConfig, build_config
from sage.app.config.yaml_file import YamlDocument
from sage.app.recording import feed, mcap_sink
from sage.app.recording.channels import reading_channel
from sage.app.recording.items import Status
from sage.app.recording.mcap_sink import McapSink, RunRecord
from sage.app.recording.replay import RecordedRun, replay_config
from sage.app.terminal.errors import UserError
from sage.mailbox.clock import ManualClock
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.contract import EffectorSpec, Reading, SensorContext, SensorSpec, SourceExhausted
from sage.sensors.recordings.codec import (
    decode_reading,
    decode_values,
    effector_spec,
    encode_reading,
    form_of,
    keys_of,
    plain_spec,
    sensor_spec,
)
from sage.sensors.recordings.mcap_file import McapFile
from sage.sensors.recordings.recorded_sensor import RecordedConfig, RecordedSensor
from sage.sensors.testing.conformance import check_sensor
from tests.sensors.conftest import Rig

pytest.importorskip("mcap", reason="pip install 'sage-runtime[recording]'")

EFFECTOR = EffectorSpec(
    name="room.move", effect="move", target="room", tensor=TensorSpec(shape=(2,)), low=(-1, -1), high=(1, 1)
)


@pytest.fixture(autouse=True)
def _own_logs() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def config_of(**data: object) -> SageConfig:
    return build_config(YamlDocument(source="test", data=dict(data)))


def recorded_run(config: SageConfig, *sources: str) -> RecordedRun:
    return RecordedRun(
        path=Path("/run.mcap"),
        config=config,
        sources=sources,
        effectors=(EFFECTOR,),
        num_ticks=9,
        duration_secs=1.0,
        is_manual=True,
        digest="",
    )


def test_sources_become_replays_and_puzzles_and_memory_stay() -> None:
    config = config_of(
        sensors=[
            {"kind": "host", "name": "host", "hang_secs": 7.0},
            {"kind": "host", "name": "gpu", "optional": True},
            {"kind": "memory", "name": "recall"},
        ],
        environments=[
            {"kind": "key_door", "name": "room"},
            {"kind": "table", "name": "table"},
            {"kind": "puzzles", "name": "sudoku", "task": "sudoku", "options": {"size": 4}},
        ],
    )
    replay = replay_config(recorded_run(config, "host", "recall", "room.reward", "room.position"), None, ())
    assert [(entry.kind, entry.name) for entry in replay.sensors] == [
        ("recorded", "host"),
        ("memory", "recall"),
        ("recorded", "room.reward"),
        ("recorded", "room.position"),
    ]
    assert replay.sensors[0].config.hang_secs == 7.0
    assert [entry.name for entry in replay.environments] == ["table", "sudoku"]
    assert [(entry.kind, entry.name) for entry in replay.effectors] == [("stand_in", "room.move")]
    assert effector_spec(replay.effectors[0].config.spec) == EFFECTOR
    assert replay_config(recorded_run(config, "host"), None, ("seed=5",)).seed == 5
    with pytest.raises(UserError, match="none of its sources: other"):
        replay_config(recorded_run(config, "other"), None, ())


def test_an_estimate_named_like_an_environments_sensor_is_made_again() -> None:
    config = config_of(
        sensors=[{"kind": "synthetic", "name": name} for name in ("a", "b")],
        environments=[{"kind": "key_door", "name": "room"}],
        measurements=[{"name": "room.fused", "sources": ["a", "b"], "motion_std": 1.0}],
    )
    sources = ("a", "b", "room.reward", "room.position", "room.fused")
    replay = replay_config(recorded_run(config, *sources), None, ())
    assert [entry.name for entry in replay.sensors] == ["a", "b", "room.reward", "room.position"]


def test_a_source_whose_name_begins_with_that_of_two_environments_is_replayed_once() -> None:
    config = config_of(
        sensors=[{"kind": "synthetic", "name": "room.light"}],
        environments=[{"kind": "key_door", "name": name} for name in ("room", "room.left")],
    )
    sources = ("room.light", "room.reward", "room.left.reward")
    replay = replay_config(recorded_run(config, *sources), None, ())
    assert [entry.name for entry in replay.sensors] == list(sources)


@pytest.mark.parametrize(
    ("shape", "dtype", "form"),
    [
        ((3,), "float32", "values"),
        ((2, 2), "float64", "values"),
        ((4,), "int64", "values"),
        ((300,), "float32", "tensor"),
        ((3,), "float16", "tensor"),
        ((5, 4, 3), "uint8", "raw_image"),
        ((5, 4), "uint8", "raw_image"),
    ],
)
def test_a_reading_comes_back_bit_for_bit(shape: tuple[int, ...], dtype: str, form: str) -> None:
    tensor = TensorSpec(shape=shape, dtype=dtype)
    spec = SensorSpec(
        name="s", modality="physical", tensor=tensor, period_ns=5, observes=("a", "b"), lineage=("x",)
    )
    assert form_of(spec) == form
    assert sensor_spec(plain_spec(spec), "s").tensor == tensor
    rng = np.random.default_rng(0)
    values = (rng.standard_normal(shape) * 100).astype(dtype)
    reading = Reading(captured_ns=1, received_ns=2, sequence=3, noise_std=0.1, quality=0.3, confidence=0.7)
    message = encode_reading(values, reading, form=form_of(spec), keys=keys_of(spec), frame="s", stamp_ns=1)
    plain = json.loads(json.dumps(message, allow_nan=False))
    back = decode_values(plain, spec, form)
    assert back.dtype == values.dtype
    assert np.array_equal(back, values)
    assert decode_reading(plain, captured_ns=1, received_ns=2) == reading


@pytest.mark.parametrize(
    "channels",
    [("a b", "a_b_2", "a-b"), ("x", "x", "x_1", "x"), ("", "c0", "+", "c2"), ("a_3", "b", "a", "a")],
)
def test_each_channel_has_a_key_of_its_own(channels: tuple[str, ...]) -> None:
    spec = SensorSpec(
        name="s",
        modality="physical",
        tensor=TensorSpec(shape=(len(channels),)),
        period_ns=5,
        observes=("a", "b"),
        channels=channels,
    )
    values = np.arange(len(channels), dtype=np.float32)
    reading = Reading(captured_ns=1, received_ns=2, sequence=3)
    message = encode_reading(values, reading, form="values", keys=keys_of(spec), frame="s", stamp_ns=1)
    assert np.array_equal(decode_values(message, spec, "values"), values)


def test_what_lowers_the_quality_is_recorded() -> None:
    reading = Reading(captured_ns=1, received_ns=2, sequence=3, quality=0.5, noise_std=0.1, health="dust")
    values = np.zeros(1, dtype=np.float32)
    message = encode_reading(values, reading, form="values", keys=(), frame="s", stamp_ns=1)
    assert decode_reading(message, captured_ns=1, received_ns=2) == reading
    del message["health"]  # as in a recording of an earlier version
    assert decode_reading(message, captured_ns=1, received_ns=2).health == ""


def test_a_picture_as_jpeg_is_close() -> None:
    pytest.importorskip("av", reason="pip install 'sage-runtime[sensors]'")
    tensor = TensorSpec(shape=(32, 48, 3), dtype="uint8")
    spec = SensorSpec(name="s", modality="physical", tensor=tensor, period_ns=5, observes=("light", "sRGB"))
    rows, columns = np.mgrid[0:32, 0:48]
    values = np.stack([rows * 4, columns * 4, rows + columns], axis=2).astype(np.uint8)
    reading = Reading(captured_ns=1, received_ns=2, sequence=3)
    message = encode_reading(values, reading, form="jpeg", keys=(), frame="s", stamp_ns=1)
    assert message["format"] == "jpeg"
    back = decode_values(message, spec, "jpeg")
    assert np.abs(back.astype(int) - values).mean() < 8


def test_a_source_without_readings_is_replayed_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "silent.mcap"
    specs = [
        SensorSpec(
            name=name, modality="physical", tensor=TensorSpec(shape=(1,)), period_ns=5, observes=("a", "b")
        )
        for name in ("silent", "other")
    ]
    sink = McapSink(path, RunRecord(run={"start_ns": "1000"}, effectors=(), config="name: a\n"))
    channels = [sink.add_channel(reading_channel(spec, "values")) for spec in specs]
    for index in range(3):
        message = {"values": [0.5], "sequence": index, "noise_std": None, "quality": 1, "confidence": 1}
        at_ns = 1000 + index * 10
        data = json.dumps(message).encode()
        sink.write(channels[1], data, log_ns=at_ns, publish_ns=at_ns, sequence=index)
    sink.close({})
    clock = ManualClock()
    context = SensorContext(clock=clock, epoch_ns=0)
    silent = RecordedSensor(RecordedConfig(name="silent", path=path), context)
    out = np.zeros(1, dtype=np.float32)
    silent.open()
    assert silent.read_into(out) is None
    clock.advance(20)
    assert silent.read_into(out) is None
    clock.advance(1)
    with pytest.raises(SourceExhausted):
        silent.read_into(out)
    silent.close()
    empty = tmp_path / "empty.mcap"
    sink = McapSink(empty, RunRecord(run={"start_ns": "1000"}, effectors=(), config="name: a\n"))
    sink.close({})
    assert invoke(["recording", "check", str(empty)]) == 0
    assert invoke(["recording", "info", str(empty)]) == 0
    assert invoke(["replay", str(empty)]) == 2


def test_a_series_of_files_keeps_its_budget_and_each_is_complete(tmp_path: Path) -> None:
    tensor = TensorSpec(shape=(120, 160, 3), dtype="uint8")
    spec = SensorSpec(name="eye", modality="physical", tensor=tensor, period_ns=5, observes=("light", "sRGB"))
    record = RunRecord(run={"start_ns": "1000"}, effectors=(), config="name: a\n")
    budget = 4 << 20
    sink = McapSink(tmp_path / "run.mcap", record, max_bytes=budget)
    channel = sink.add_channel(reading_channel(spec, "raw_image"))
    rng = np.random.default_rng(0)
    for index in range(120):
        values = rng.integers(0, 256, tensor.shape, dtype=np.uint8)
        reading = Reading(captured_ns=0, received_ns=0, sequence=index)
        message = encode_reading(values, reading, form="raw_image", keys=(), frame="eye", stamp_ns=0)
        at_ns = 1000 + index
        data = json.dumps(message).encode()
        sink.write(channel, data, log_ns=at_ns, publish_ns=at_ns, sequence=index)
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= budget
    sink.close({"num_ticks": "0"})
    files = sorted(tmp_path.iterdir())
    assert files == sink.paths
    assert sink.num_deleted > 0
    assert sum(path.stat().st_size for path in files) <= budget
    for path in (files[0], files[-1]):
        assert invoke(["recording", "check", str(path)]) == 0
        with McapFile(path) as file:
            assert file.attachment("config.yaml") == b"name: a\n"


def test_a_budget_has_room_for_messages_beside_the_channels_of_many_sources(tmp_path: Path) -> None:
    record = RunRecord(run={"start_ns": "1000"}, effectors=(), config="name: a\n")
    tensor = TensorSpec(shape=(6,))

    def opened(name: str, num_sources: int, max_bytes: int) -> tuple[McapSink, list[int]]:
        sink = McapSink(tmp_path / name / "run.mcap", record, max_bytes=max_bytes)
        specs = [
            SensorSpec(name=f"s{i}", modality="physical", tensor=tensor, period_ns=5, observes=("a", "1"))
            for i in range(num_sources)
        ]
        return sink, [sink.add_channel(reading_channel(spec, "values")) for spec in specs]

    for name in ("few", "many", "room"):
        (tmp_path / name).mkdir()
    opened("few", 10, 4 << 20)[0].check_budget()
    with pytest.raises(UserError, match=r"descriptions of 500 channels .*: give \d+ or more") as refused:
        opened("many", 500, 4 << 20)[0].check_budget()
    least = int(re.findall(r"give (\d+)", str(refused.value))[0])
    sink, channels = opened("room", 500, least)
    sink.check_budget()
    rng = np.random.default_rng(0)
    for index in range(1000):
        data = json.dumps({"values": rng.random(100).tolist()}).encode()
        sink.write(channels[index % 500], data, log_ns=1000, publish_ns=1000, sequence=index)
    sink.close({})
    sizes = [path.stat().st_size for path in (tmp_path / "room").iterdir()]
    assert sum(sizes) <= least
    assert max(sizes) <= least / 8
    assert 1 < len(sizes) + sink.num_deleted < 100


def test_a_series_goes_on_after_the_files_of_earlier_sessions(tmp_path: Path) -> None:
    record = RunRecord(run={"start_ns": "1000"}, effectors=(), config="name: a\n")
    tensor = TensorSpec(shape=(300_000,), dtype="uint8")
    spec = SensorSpec(name="b", modality="physical", tensor=tensor, period_ns=5, observes=("b", "1"))
    found = []
    for session in range(3):
        sink = McapSink(tmp_path / "run.mcap", record, max_bytes=4 << 20)
        channel = sink.add_channel(reading_channel(spec, "tensor"))
        data = np.random.default_rng(session).bytes(300_000)
        for index in range(8):
            sink.write(channel, data, log_ns=-1, publish_ns=2**70, sequence=index)
            if session == 1 and index == 4:
                sink.paths[0].rename(tmp_path / "moved.mcap")  # by a program that ships finished files
        sink.close({})
        found.append([path.name for path in sink.paths])
    assert found[1][0] > found[0][-1]
    assert found[2][0] > found[1][-1]
    left = [path for path in tmp_path.iterdir() if path.name != "moved.mcap"]
    assert sum(path.stat().st_size for path in left) <= 4 << 20
    assert {*found[2]} <= {path.name for path in left}


def test_no_recording_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "small.yaml").write_text(
        "name: small\nmodel: {hidden_size: 16, num_heads: 2, H_cycles: 1, L_cycles: 1}\n"
        "budget: {segments: 1}\nsleep: {enabled: false}\npractice: {enabled: false}\n"
        "sensors: [{kind: synthetic, name: one, shape: [2], rate_hz: 20}]\n"
    )
    file, state = tmp_path / "run.mcap", ["--state-dir", str(tmp_path / "state")]
    run = ["run", str(tmp_path / "small.yaml"), "--fast", "--ticks", "5", "--json", "--record", str(file)]
    assert invoke([*run, *state]) == 0
    first = file.read_bytes()
    capsys.readouterr()
    assert invoke(["replay", str(file), "--record", str(file), "--no-live", "--json", *state]) == 0
    assert json.loads(capsys.readouterr().out)["recording"]["files"] == [str(tmp_path / "run_2.mcap")]
    assert file.read_bytes() == first
    assert invoke(["recording", "check", str(tmp_path / "run_2.mcap")]) == 0


def test_an_odd_reading_costs_itself_alone(tmp_path: Path) -> None:
    run_feed = feed.RunFeed(lambda start, at_ns: None, name="recording")  # type: ignore[arg-type,return-value]
    written: list[object] = []

    class Odd:
        num_written = 0
        run_digest = ""

        def write(self, item: Status) -> None:
            if item.source == "odd":
                raise TypeError("Object of type float32 is not JSON serializable")
            if item.source == "full":
                raise OSError(28, "No space left on device")
            written.append(item)

        def close(self, num_dropped: int, problem: str) -> None:
            written.append(problem)

    run_feed._messages = Odd()  # type: ignore[assignment]
    for source in ("a", "odd", "odd", "b"):
        feed.SourceTap(source, run_feed._put).note_fault("", 0)
    run_feed._thread.start()
    run_feed.close()
    assert [getattr(item, "source", item) for item in written] == ["a", "b", ""]
    assert run_feed.statistics().num_unwritable == 2
    assert run_feed.notices() == ("recording: 2 messages cannot be written",)


def test_a_full_queue_drops_and_counts_and_changes_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "small.yaml").write_text(
        "name: small\nmodel: {hidden_size: 16, num_heads: 2, H_cycles: 1, L_cycles: 1}\n"
        "budget: {segments: 1}\nsleep: {enabled: false}\npractice: {enabled: false}\n"
        "sensors: [{kind: synthetic, name: one, shape: [2], rate_hz: 20}]\n"
    )
    monkeypatch.setattr(feed, "MAX_ITEMS", 0)
    run = ["run", str(tmp_path / "small.yaml"), "--fast", "--ticks", "10", "--json"]
    files = ["--record", str(tmp_path / "run.mcap"), "--state-dir", str(tmp_path / "state")]
    assert invoke([*run, *files]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["num_ticks"] == 10
    assert found["recording"]["num_messages"] == 0
    assert found["recording"]["num_dropped"] >= 20
    assert invoke(["recording", "check", str(tmp_path / "run.mcap")]) == 0


def test_the_conformance_kit_passes(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    spec = SensorSpec(
        name="one", modality="physical", tensor=TensorSpec(shape=(2,)), period_ns=10**7, observes=("a", "b")
    )
    sink = McapSink(path, RunRecord(run={"start_ns": "1000"}, effectors=(), config="name: a\n"))
    channel = sink.add_channel(reading_channel(spec, "values"))
    for index in range(500):
        reading = Reading(captured_ns=0, received_ns=0, sequence=index)
        values = np.array([index, 0.1], dtype=np.float32)
        message = encode_reading(values, reading, form="values", keys=(), frame="one", stamp_ns=0)
        at_ns = 1000 + index * 10**7
        data = json.dumps(message).encode()
        sink.write(channel, data, log_ns=at_ns, publish_ns=at_ns, sequence=index)
    sink.close({})
    clock = ManualClock()
    context = SensorContext(clock=clock, epoch_ns=0)
    config = RecordedConfig(name="one", path=path)
    results = check_sensor(lambda: RecordedSensor(config, context), clock=clock)
    assert not [result for result in results if not result.is_ok]


@pytest.mark.parametrize("is_json", [True, False])
def test_a_damaged_place_is_a_fault_of_every_source_and_the_rest_is_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_json: bool
) -> None:
    """is_json: the bytes of a chunk are changed; else one message is no JSON."""
    monkeypatch.setattr(mcap_sink, "CHUNK_BYTES", 4096)
    path, names, period_ns, num = tmp_path / "run.mcap", ("a", "b"), 10**8, 100
    sink = McapSink(path, RunRecord(run={"start_ns": "1000"}, effectors=(), config="name: a\n"))
    specs = {
        name: SensorSpec(
            name=name,
            modality="physical",
            tensor=TensorSpec(shape=(1,)),
            period_ns=period_ns,
            observes=("a", "b"),
        )
        for name in names
    }
    channels = {name: sink.add_channel(reading_channel(spec, "values")) for name, spec in specs.items()}
    for index in range(num):
        for name in names:
            message = {"values": [0.5], "sequence": index, "noise_std": None, "quality": 1, "confidence": 1}
            text = "?" if not is_json and (index, name) == (50, "b") else json.dumps(message)
            at_ns = 1000 + index * period_ns
            sink.write(channels[name], text.encode(), log_ns=at_ns, publish_ns=at_ns, sequence=index)
    sink.close({})
    if is_json:
        with McapFile(path) as file:
            chunks = sorted(file.summary.chunk_indexes, key=lambda chunk: chunk.message_start_time)
        assert len(chunks) > 4
        place = chunks[len(chunks) // 2]
        data = bytearray(path.read_bytes())
        data[place.chunk_start_offset + place.chunk_length // 2] ^= 0xFF
        path.write_bytes(data)
    clock = ManualClock()
    context = SensorContext(clock=clock, epoch_ns=0)
    rigs = {
        name: Rig(
            clock, lambda name=name: RecordedSensor(RecordedConfig(name=name, path=path), context),
            backoff_secs=0.1, max_backoff_secs=0.1,
        )
        for name in names
    }  # fmt: skip
    delivered: dict[str, list[int]] = {name: [] for name in names}
    for _ in range(2 * num + 10):
        clock.advance(period_ns // 2)
        for name, rig in rigs.items():
            rig.driver.poll(clock.now_ns())
            while (lease := rig.driver.read_next()) is not None:
                with lease:
                    delivered[name].append(lease.meta.stamp_ns // period_ns)
    for name, rig in rigs.items():
        statistics = rig.driver.statistics()
        assert statistics.num_faults >= 1
        assert statistics.last_error.startswith(str(path))
        assert statistics.status == "exhausted"
        assert len(set(delivered[name])) == len(delivered[name]) > num * 0.6
        assert delivered[name] == sorted(delivered[name])
        assert (delivered[name][0], delivered[name][-1]) == (0, num - 1)
        rig.driver.close()
    assert context.connections.num_open == 0
