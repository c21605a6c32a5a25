"""The writer of MCAP files: the bytes of the package's own one, and memory that does not grow with chunks."""

from __future__ import annotations

import gc
import io
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from sage.app.recording import mcap_writer
from sage.app.recording.channels import ChannelSpec
from sage.app.recording.check import check_recording
from sage.app.recording.mcap_sink import CHUNK_BYTES, McapSink, RunRecord
from sage.app.recording.mcap_writer import McapWriter

pytest.importorskip("mcap", reason="pip install 'sage-runtime[recording]'")

RUN = RunRecord(run={"start_ns": "1000"}, effectors=(), config="name: a\n")


def fill(writer: Any, num_messages: int) -> None:
    """All kinds of records, a channel without a schema, one without messages, and times that step back."""
    writer.add_metadata("sage.run", {"seed": "3"})
    writer.add_attachment(5, 6, "config.yaml", "application/yaml", b"name: a\n")
    schema = writer.register_schema("one", "jsonschema", b"{}")
    channels = [
        writer.register_channel(f"/{at}", "json", schema if at else 0, {"at": "x"}) for at in range(5)
    ]
    rng = random.Random(0)
    for index in range(num_messages):
        writer.add_message(
            rng.choice(channels),
            log_time=1000 + index - rng.randrange(10),
            data=rng.randbytes(rng.randrange(300)),
            publish_time=index,
            sequence=index,
        )
    writer.register_channel("/late", "json", writer.register_schema("two", "jsonschema", b"[]"), {})
    writer.add_metadata("sage.end", {"num_ticks": "9"})
    writer.finish()


@pytest.mark.parametrize("num_messages", [0, 1, 3000])
def test_a_file_has_the_bytes_that_the_package_writes(
    num_messages: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcap.writer import Writer

    monkeypatch.setattr(mcap_writer, "INDEX_BYTES", 1000)  # so that the index is in a file
    wanted, found = io.BytesIO(), io.BytesIO()
    package = Writer(wanted, chunk_size=4096, enable_data_crcs=True)
    package.start(profile="", library="it")
    fill(package, num_messages)
    own = McapWriter(found, folder=tmp_path, chunk_bytes=4096)
    own.start("it")
    fill(own, num_messages)
    assert found.getvalue() == wanted.getvalue()
    assert list(tmp_path.iterdir()) == []


def chunks(sink: McapSink, channels: list[int], num: int) -> None:
    """Write `num` chunks of messages that take little room."""
    data = b'{"values":[0.5]}' + b" " * (CHUNK_BYTES // len(channels))
    for index in range(num * len(channels)):
        channel = channels[index % len(channels)]
        sink.write(channel, data, log_ns=1000 + index, publish_ns=1000 + index, sequence=index)


def test_memory_does_not_grow_with_the_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcap_writer, "INDEX_BYTES", 1000)
    sink = McapSink(tmp_path / "run.mcap", RUN)
    specs = [ChannelSpec(topic=f"/{at}", schema_name="one", schema={}) for at in range(10)]
    channels = [sink.add_channel(spec) for spec in specs]
    tracemalloc.start()
    try:
        chunks(sink, channels, 20)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        chunks(sink, channels, 200)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / 200 < 50  # bytes a chunk
    sink.close({})
    assert check_recording(tmp_path / "run.mcap") == ([], 2200)
