"""What `sage recording recover` keeps of damaged files: a bit flipped in each chunk in turn."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sage.app.cli.main import invoke
from sage.app.recording import recover
from sage.app.recording.channels import log_channel, tick_channel
from sage.app.recording.mcap_sink import McapSink, RunRecord
from sage.app.recording.recover import Recovered, recover_recording
from sage.app.terminal.errors import UserError
from sage.sensors.recordings.mcap_file import McapFile

pytest.importorskip("mcap", reason="pip install 'sage-runtime[recording]'")

NUM_MESSAGES = 900
RECORD = RunRecord(run={"start_ns": "0"}, effectors=(), config="name: small\n")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Messages of 0.7 kB in chunks of 64 KiB; the channel of the odd ones comes after some chunks."""
    path = tmp_path_factory.mktemp("recover") / "run.mcap"
    sink = McapSink(path, RECORD)
    channels = [sink.add_channel(tick_channel())]
    for tick in range(NUM_MESSAGES):
        if tick == NUM_MESSAGES // 2:
            channels.append(sink.add_channel(log_channel("/late")))
        data = json.dumps({"tick": tick, "text": f"{tick * 7919 % 1000:03d}" * 230}).encode()
        sink.write(channels[tick % len(channels)], data, log_ns=tick, publish_ns=tick, sequence=tick)
    sink.close({"digest": "a"})
    return path


def _flipped(path: Path, place: int) -> tuple[Recovered, Path]:
    """The file with one bit flipped, recovered."""
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    damaged = path.with_name("damaged.mcap")
    damaged.write_bytes(data)
    return recover_recording(damaged), damaged


def _num_in_chunks(path: Path) -> Iterator[tuple[int, int, int]]:
    """Of each chunk: its first byte, its length, its messages."""
    with McapFile(path) as file:
        chunks = sorted(file.summary.chunk_indexes, key=lambda each: each.chunk_start_offset)
        bounds = [chunk.message_start_time for chunk in chunks] + [NUM_MESSAGES]
    for chunk, first, last in zip(chunks, bounds, bounds[1:]):
        yield chunk.chunk_start_offset, chunk.chunk_length, last - first


@pytest.mark.parametrize("where", ["data", "length", "kind"])
def test_a_flipped_bit_costs_the_messages_of_its_chunk_alone(path: Path, where: str) -> None:
    chunks = list(_num_in_chunks(path))
    assert len(chunks) > 5
    for start, length, num in chunks:
        place = start + {"data": length - 20, "length": 3, "kind": 0}[where]
        found, _ = _flipped(path, place)
        assert (found.num_messages, found.num_damaged, found.num_unknown, found.is_whole) == (
            NUM_MESSAGES - num,
            1,
            0,
            True,
        ), (start, where)
        with McapFile(found.path) as file:
            assert file.metadata()["sage.end"] == {"digest": "a"}
            assert file.attachment("config.yaml") == b"name: small\n"
    assert invoke(["recording", "check", str(found.path)]) == 0


def test_a_cut_file_keeps_its_channels_without_its_first_chunk(path: Path) -> None:
    """Also when it is recovered for the second time."""
    (start, length, num), *_, (last, *_) = _num_in_chunks(path)
    cut = path.with_name("cut.mcap")
    data = bytearray(path.read_bytes()[:last])
    data[start + length - 20] ^= 1
    cut.write_bytes(data)
    found = recover_recording(cut)
    assert (found.num_damaged, found.num_unknown, found.is_whole) == (1, 0, False)
    assert found.num_messages > NUM_MESSAGES - 3 * num
    with McapFile(found.path) as file:
        assert {channel.topic: file.schema_name(channel) for channel in file.channels()} == {
            "/sage/tick": "sage.Tick",
            "/late": "foxglove.Log",
        }
    again, damaged = _flipped(found.path, next(_num_in_chunks(found.path))[0] + 100)
    data = damaged.read_bytes()
    damaged.write_bytes(data[: len(data) * 9 // 10])
    again = recover_recording(damaged)
    assert (again.num_damaged, again.num_unknown) == (1, 0)
    assert again.num_messages > found.num_messages // 2


def test_messages_whose_channel_is_lost_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file of another program, cut, with its only record of the channel in a damaged chunk."""
    from mcap.writer import Writer

    path = tmp_path / "other.mcap"
    with path.open("wb") as stream:
        writer = Writer(stream, chunk_size=1024)
        writer.start()
        channel = writer.register_channel("/t", "json", 0)
        for tick in range(300):
            writer.add_message(channel, log_time=tick, data=b'{"tick": 1}', publish_time=tick)
        end = stream.tell()
        writer.finish()
    with McapFile(path) as file:
        first = file.summary.chunk_indexes[0]
    data = bytearray(path.read_bytes()[:end])
    data[first.chunk_start_offset + first.chunk_length - 9] ^= 1
    path.write_bytes(data)
    assert invoke(["recording", "recover", str(path)]) == 1
    assert "messages left out whose channels are in damaged chunks" in capsys.readouterr().out
    assert invoke(["recording", "recover", str(path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["num_messages"] == 0
    assert found["num_unknown"] > 200


def test_a_recovery_that_fails_leaves_the_file_of_an_earlier_one(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.mcap"
    whole = recover_recording(path, target).num_messages
    before = target.read_bytes()

    def cut(*arguments: object) -> Iterator[object]:
        yield from []
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(recover, "_records", cut)
    with pytest.raises(UserError, match=r"out\.mcap: no space left on device: give a file"):
        recover_recording(path, target)
    assert (whole, target.read_bytes()) == (NUM_MESSAGES, before)
    assert list(tmp_path.iterdir()) == [target]
