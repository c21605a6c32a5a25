"""Recordings of sessions: what is in them, replays with equal reports, cut files, full disks, exports."""

from __future__ import annotations

import csv
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog

from sage.app.cli.main import invoke
from sage.sensors.recordings.codec import SPEC_KEY, decode_values, sensor_spec
from sage.sensors.recordings.mcap_file import McapFile

pytest.importorskip("mcap", reason="pip install 'sage-runtime[recording]'")

CONFIG = """
name: small
seed: 3
tick: {rate_hz: 100, rest_rate_hz: 100, dream_rate_hz: 100}
model: {hidden_size: 16, num_heads: 2, H_cycles: 1, L_cycles: 1}
budget: {segments: 1}
practice: {every_ticks: 8, batch_size: 2}
sleep: {enabled: false}
memory: {num_experiences: 32, num_recall: 32, num_transitions: 128}
policy: {rules: [{decision: allow, effect: "*", target: "*", states: [wake, rest]}]}
sensors:
  - kind: synthetic
    name: one
    shape: [2]
    rate_hz: 100
    faults: [{fault: stale, at_secs: 0.4, for_secs: 0.05}, {fault: nan, at_secs: 0.5, for_secs: 0.015}]
    backoff_secs: 0.02
  - kind: synthetic
    name: two
    shape: [2]
    rate_hz: 50
    seed: 1
    faults: [{fault: raise, at_secs: 0.2, for_secs: 0.1}]
    backoff_secs: 0.03
  - {kind: synthetic, name: eye, shape: [4, 6, 3], dtype: uint8, rate_hz: 25}
  - {kind: memory, name: recall}
environments:
  - {kind: key_door, name: room}
"""
NUM_TICKS = 60
#: At 20 ticks a second: the process of a sensor takes seconds to start.
ISOLATED = [
    part
    for key in (
        "sensors.one.isolate=true",
        *(f"tick.{each}=20" for each in ("rate_hz", "rest_rate_hz", "dream_rate_hz")),
    )
    for part in ("--set", key)
]


@pytest.fixture(autouse=True)
def _own_logs() -> Iterator[None]:
    """A session redirects log lines; the next test starts with the default."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `small.yaml` and `run.mcap`, recorded on a manual clock."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "small.yaml").write_text(CONFIG)
    arguments = ["run", str(folder / "small.yaml"), "--fast", "--no-live", "--ticks", str(NUM_TICKS)]
    arguments += ["--state-dir", str(folder / "state"), "--record", str(folder / "run.mcap")]
    assert invoke(arguments) == 0
    return folder


@pytest.fixture
def sage(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """A command line; returns its exit code, stdout and stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = invoke([str(each) for each in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_a_recording_has_every_source_and_every_report(folder: Path) -> None:
    with McapFile(folder / "run.mcap") as file:
        counts = {channel.topic: file.count_of(channel) for channel in file.channels()}
        schemas = {channel.topic: file.schema_name(channel) for channel in file.channels()}
        metadata, config = file.metadata(), file.attachment("config.yaml")
    assert counts["/sage/tick"] == NUM_TICKS
    assert counts["/sensors/one/status"] == 1  # NaN
    assert counts["/sensors/two/status"] > 1
    assert counts["/sensors/two"] < NUM_TICKS // 2
    assert counts["/sensors/eye"] == NUM_TICKS // 4
    assert schemas["/sensors/eye"] == "foxglove.RawImage"
    assert schemas["/sage/events"] == "foxglove.Log"
    assert {f"/sensors/room.{part}" for part in ("position", "reward")} & set(counts)
    assert metadata["sage.run"]["seed"] == "3"
    assert metadata["sage.end"]["num_ticks"] == str(NUM_TICKS)
    assert config is not None
    assert b"rate_hz: 100" in config


def test_readings_have_the_bits_that_the_source_wrote(folder: Path) -> None:
    from sage.mailbox.clock import ManualClock
    from sage.sensors.contract import SensorContext
    from sage.sensors.devices.synthetic import SyntheticConfig, SyntheticSensor

    clock = ManualClock()
    config = SyntheticConfig(name="eye", shape=(4, 6, 3), dtype="uint8", rate_hz=25)
    sensor = SyntheticSensor(config, SensorContext(clock=clock, epoch_ns=0))
    sensor.open()
    out = np.zeros((4, 6, 3), dtype=np.uint8)
    for values, reading in recorded(folder / "run.mcap", "/sensors/eye"):
        clock.wait_until(reading["at_ns"])
        again = sensor.read_into(out)
        assert again is not None
        assert np.array_equal(values, out)
        assert (again.sequence, again.captured_ns) == (reading["sequence"], reading["captured_ns"])


def test_a_replay_has_the_reports_of_the_recorded_run(
    folder: Path, tmp_path: Path, sage: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, _ = sage("replay", folder / "run.mcap", "--json", "--state-dir", tmp_path)
    found = json.loads(out)["replay"]
    assert code == 0
    assert (found["num_equal"], found["num_compared"]) == (NUM_TICKS, NUM_TICKS), found
    assert found["digest"] == found["recorded_digest"]
    code, out, _ = sage("replay", folder / "run.mcap", "--json", "--state-dir", tmp_path, "--set", "seed=4")
    assert json.loads(out)["replay"]["first_differing"] is not None


def recorded(path: Path, topic: str) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    with McapFile(path) as file:
        start_ns = int(file.metadata()["sage.run"]["start_ns"])
        for _, channel, record in file.messages(topics=[topic]):
            message = json.loads(record.data)
            spec = sensor_spec(channel.metadata[SPEC_KEY], topic)
            message["at_ns"] = record.log_time - start_ns
            message["captured_ns"] = record.publish_time - start_ns
            yield decode_values(message, spec, channel.metadata["sage.form"]), message


@pytest.mark.parametrize("isolated", [(), pytest.param((*ISOLATED, "--ticks", 300), marks=pytest.mark.slow)])
def test_two_replays_of_a_run_on_the_real_clock_are_equal(
    isolated: tuple[object, ...], folder: Path, tmp_path: Path, sage: Callable[..., tuple[int, str, str]]
) -> None:
    """Sources in processes of their own are recorded too."""
    path = tmp_path / "wall.mcap"
    arguments = ["record", path, folder / "small.yaml", "--ticks", 20, "--no-live", "--json"]
    state = ("--state-dir", tmp_path / "a", "--set", "environments.room.enabled=false")
    code, out, _ = sage(*arguments, *state, *isolated)
    found = json.loads(out)
    assert code == 0
    assert found["recording"]["num_dropped"] == 0
    with McapFile(path) as file:
        assert all(file.count_of(each) for each in file.channels() if each.topic == "/sensors/one")
    replays = []
    for name in ("b", "c"):
        code, out, _ = sage("replay", path, "--json", "--state-dir", tmp_path / name)
        assert code == 0
        replays.append(json.loads(out)["replay"])
    assert replays[0]["digest"] == replays[1]["digest"]
    assert replays[0]["recorded_digest"] == found["recording"]["digest"]
    assert replays[0]["recorded_clock"] == "real"


def test_another_configuration_takes_the_sources_that_the_recording_has(
    folder: Path, tmp_path: Path, sage: Callable[..., tuple[int, str, str]]
) -> None:
    other = tmp_path / "other.yaml"
    sensors = "sensors: [{kind: host, name: one}, {kind: synthetic, name: new, shape: [1]}]\n"
    other.write_text(CONFIG.split("sensors:")[0] + sensors)
    state = ("--state-dir", tmp_path / "a", "--no-live")
    code, out, _ = sage("replay", folder / "run.mcap", "--config", other, "--json", *state, "--ticks", 20)
    assert code == 0
    assert json.loads(out)["replay"]["num_compared"] == 20
    other.write_text(CONFIG.split("sensors:")[0] + "sensors: [{kind: host, name: none_of_them}]\n")
    code, _, err = sage("replay", folder / "run.mcap", "--config", other, *state)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "one" in err


def test_a_recording_cut_anywhere_is_rebuilt(
    folder: Path, tmp_path: Path, sage: Callable[..., tuple[int, str, str]]
) -> None:
    whole = (folder / "run.mcap").read_bytes()
    cut, out = tmp_path / "cut.mcap", tmp_path / "cut.recovered.mcap"
    counts = []
    for share in (0.3, 0.6, 0.9, 1.0):
        cut.write_bytes(whole[: int(len(whole) * share)])
        code, text, _ = sage("recording", "recover", cut)
        assert code == 0, text
        code, text, _ = sage("recording", "check", out)
        assert code == 0, text
        with McapFile(out) as file:
            counts.append(file.num_messages)
    assert counts == sorted(counts)
    with McapFile(folder / "run.mcap") as file:
        assert counts[-1] == file.num_messages
    code, text, _ = sage("replay", out, "--json", "--state-dir", tmp_path / "state")
    assert json.loads(text)["replay"]["num_equal"] == NUM_TICKS
    cut.write_bytes(whole[: len(whole) // 2])
    for command in (
        ("replay", cut),
        ("recording", "info", cut),
        ("recording", "export", cut, "--out", tmp_path),
    ):
        code, _, err = sage(*command)
        assert (code, len(err.splitlines())) == (2, 1)
        assert "sage recording recover" in err


def test_a_flipped_bit_is_found_and_costs_its_chunk(
    folder: Path, tmp_path: Path, sage: Callable[..., tuple[int, str, str]]
) -> None:
    data = bytearray((folder / "run.mcap").read_bytes())
    with McapFile(folder / "run.mcap") as file:
        chunk = file.summary.chunk_indexes[0]
    data[chunk.chunk_start_offset + chunk.chunk_length // 2] ^= 8
    path = tmp_path / "flipped.mcap"
    path.write_bytes(data)
    code, out, _ = sage("recording", "check", path)
    assert code == 1
    assert "recover" in out
    code, out, _ = sage("recording", "recover", path)
    assert code == 0
    assert "1 damaged chunks left out" in out


def test_a_bit_flipped_anywhere_is_found(
    folder: Path, tmp_path: Path, sage: Callable[..., tuple[int, str, str]]
) -> None:
    """In the header, in chunks, in the configuration, in the index, in the footer."""
    whole = (folder / "run.mcap").read_bytes()
    path = tmp_path / "flipped.mcap"
    rng = np.random.default_rng(0)
    places = [*rng.integers(0, len(whole), 7), *(len(whole) - 1 - rng.integers(0, 4000, 7))]
    for place in places:
        data = bytearray(whole)
        data[int(place)] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        for command, codes in (("check", (1, 2)), ("info", (0, 2)), ("recover", (0, 2))):
            code, _, err = sage("recording", command, path)
            assert code in codes, (command, place)
            assert len(err.splitlines()) <= 1


@pytest.mark.parametrize("content", [b"", b"a text\n", b"\x89MCAP0\r\n", b"\x89MCAP0\r\n" + bytes(200)])
def test_a_file_of_another_kind_is_one_line(
    content: bytes, tmp_path: Path, sage: Callable[..., tuple[int, str, str]]
) -> None:
    path = tmp_path / "wrong.mcap"
    path.write_bytes(content)
    for command in (("replay", path), ("recording", "info", path), ("recording", "check", path)):
        code, out, err = sage(*command)
        assert (code, out, len(err.splitlines())) == (2, "", 1), command
    code, _, err = sage("replay", tmp_path / "absent.mcap")
    assert (code, len(err.splitlines())) == (2, 1)


def test_an_output_that_cannot_be_written_is_one_line(
    folder: Path, tmp_path: Path, sage: Callable[..., tuple[int, str, str]]
) -> None:
    run = ("run", folder / "small.yaml", "--fast", "--ticks", 2, "--no-live", "--state-dir", tmp_path / "a")
    for wrong in (tmp_path / "a.bag", tmp_path / "none" / "a.mcap", tmp_path):
        code, _, err = sage(*run, "--record", wrong)
        assert (code, len(err.splitlines())) == (2, 1), wrong
    code, _, err = sage(*run, "--record", tmp_path / "a.mcap", "--record-max-bytes", 10)
    assert (code, len(err.splitlines())) == (2, 1)


def test_a_full_disk_stops_the_recording_and_not_the_session(
    folder: Path, tmp_path: Path, sage: Callable[..., tuple[int, str, str]]
) -> None:
    """The limit is the size of a file: the write fails as on a full disk."""
    path = tmp_path / "full.mcap"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    run = ("run", folder / "small.yaml", "--fast", "--ticks", 200, "--json", "--record", path)
    state = ("--state-dir", tmp_path / "state")
    resource.setrlimit(resource.RLIMIT_FSIZE, (90_000, before[1]))
    try:
        code, out, _ = sage(*run, *state)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    found = json.loads(out)
    assert (code, found["num_ticks"]) == (0, 200)
    assert "file too large" in found["recording"]["problem"]
    assert found["recording"]["num_dropped"] > 0
    assert sage("recording", "recover", path)[0] == 0
    assert sage("recording", "check", tmp_path / "full.recovered.mcap")[0] == 0


@pytest.mark.slow
def test_a_killed_recording_has_all_but_its_last_chunk(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "killed.mcap"
    command = [
        sys.executable,
        "-m",
        "sage",
        "run",
        str(folder / "small.yaml"),
        "--no-live",
        "--record",
        str(path),
    ]
    process = subprocess.Popen([*command, "--state-dir", str(tmp_path / "state")], stderr=subprocess.DEVNULL)
    try:
        while not (path.exists() and path.stat().st_size > 40_000):
            assert process.poll() is None
            os.sched_yield()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert invoke(["recording", "recover", str(path)]) == 0
    with McapFile(tmp_path / "killed.recovered.mcap") as file:
        counts = {channel.topic: file.count_of(channel) for channel in file.channels()}
    assert counts["/sage/tick"] > 0
    state = ["--state-dir", str(tmp_path / "again"), "--no-live"]
    assert invoke(["replay", str(tmp_path / "killed.recovered.mcap"), *state]) == 0


@pytest.mark.slow
def test_a_series_keeps_its_budget(
    folder: Path, tmp_path: Path, sage: Callable[..., tuple[int, str, str]]
) -> None:
    path, budget = tmp_path / "rolled.mcap", 4 << 20
    picture = ("--set", "sensors.eye.shape=[120, 160, 3]", "--set", "sensors.eye.rate_hz=100")
    run = (
        "run",
        folder / "small.yaml",
        "--fast",
        "--ticks",
        120,
        "--json",
        "--state-dir",
        tmp_path / "state",
    )
    code, out, _ = sage(*run, *picture, "--record", path, "--record-max-bytes", budget)
    found = json.loads(out)["recording"]
    files = sorted(tmp_path.glob("rolled_*.mcap"))
    assert code == 0
    assert [str(each) for each in files] == found["files"]
    assert not (tmp_path / "rolled_0001.mcap").exists()
    assert sum(each.stat().st_size for each in files) <= budget
    for each in (files[0], files[-1]):
        assert sage("recording", "check", each)[0] == 0
        assert sage("replay", each, "--ticks", 5, "--no-live", "--state-dir", tmp_path / "again")[0] == 0


def test_an_export_has_the_values_in_both_formats(
    folder: Path, tmp_path: Path, sage: Callable[..., tuple[int, str, str]]
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pip install 'sage-runtime[parquet]'")
    for name in ("parquet", "csv"):
        code, out, _ = sage("recording", "export", folder / "run.mcap", "--out", tmp_path, "--format", name)
        assert code == 0
        assert str(tmp_path / f"source.one.{name}") in out.split()
    rows = parquet.read_table(tmp_path / "source.one.parquet").to_pylist()
    with (tmp_path / "source.one.csv").open() as file:
        written = list(csv.DictReader(file))
    originals = list(recorded(folder / "run.mcap", "/sensors/one"))
    assert len(rows) == len(written) == len(originals)
    for row, text, (values, message) in zip(rows, written, originals):
        assert row["sequence"] == int(text["sequence"]) == message["sequence"]
        if np.isfinite(values).all():
            assert np.float32(row["c0"]) == np.float32(text["c0"]) == values[0]
    ticks = parquet.read_table(tmp_path / "ticks.parquet")
    trust = parquet.read_table(tmp_path / "trust.parquet")
    assert ticks.num_rows == NUM_TICKS
    assert trust.num_rows == NUM_TICKS * len(set(trust["source"].to_pylist()))
    code, _, err = sage("recording", "export", folder / "run.mcap", "--out", folder / "run.mcap")
    assert (code, len(err.splitlines())) == (2, 1)
