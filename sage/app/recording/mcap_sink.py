"""MCAP files as a sink: one file, or a series within a budget of bytes.

Invariant: every file is complete by itself: channels, the start of the run, the configuration. A write that
fails leaves a file that ends with its last whole record, from which `sage recording recover` makes a complete
one.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sage.about import __version__
from sage.app.recording.channel_table import ChannelTable
from sage.app.recording.channels import ChannelSpec
from sage.app.recording.mcap_writer import McapWriter
from sage.app.terminal.errors import UserError
from sage.sensors.contract import SensorUnavailable
from sage.sensors.recordings.mcap_file import import_mcap

#: A chunk is written when it has this size: what a kill costs at most.
CHUNK_BYTES = 64 << 10
#: Files of a series within a budget, and the least budget.
NUM_FILES, MIN_BUDGET = 8, 4 << 20
#: Times in the format are unsigned, of 64 bits.
_MAX_TIME_NS = (1 << 64) - 1
CONFIG_NAME, RUN_NAME, EFFECTORS_NAME, END_NAME = "config.yaml", "sage.run", "sage.effectors", "sage.end"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What every file of a recording holds. run: metadata of the session.  effectors: their specs as JSON, in
    order.  config: the effective configuration, as YAML.
    """

    run: Mapping[str, str]
    effectors: tuple[str, ...]
    config: str


class McapSink:
    """path: of the file, or with `max_bytes` NAME.mcap of the series NAME_0001.mcap, NAME_0002.mcap, ... of
    which the oldest are deleted. It goes on after the files that are there. OSError for a path that cannot be
    written; FileExistsError for a file that exists.
    """

    def __init__(self, path: Path, record: RunRecord, *, max_bytes: int | None = None) -> None:
        self.paths: list[Path] = []
        self.num_deleted = 0
        self._path = path
        self._record = record
        self._max_bytes = max_bytes
        self._number = 0
        self._earlier: list[Path] = []  # of the series, by earlier sessions: they are part of the budget
        if max_bytes is not None:
            earlier = series_of(path)
            self._earlier = list(earlier.values())
            self._number = max(earlier, default=0)
        self._channels: list[ChannelSpec] = []
        self._ids: list[int] = []
        self._index_bytes = 0  # of schemas and channels, which are in a file's index again
        self._file = self._opened()

    def add_channel(self, channel: ChannelSpec) -> int:
        self._channels.append(channel)
        self._ids.append(self._file.register(channel))
        self._index_bytes += len(json.dumps([channel.topic, channel.schema, channel.metadata]))
        return len(self._channels) - 1

    def check_budget(self) -> None:
        """UserError where the channels alone take so much of each file that too little is left for messages.
        Call it with all channels and no message.
        """
        if self._max_bytes is None or self._room(self._max_bytes) - self._file.size >= CHUNK_BYTES:
            return
        least = NUM_FILES * (self._file.size + self._index_bytes + 3 * CHUNK_BYTES)
        raise UserError(
            f"--record-max-bytes {self._max_bytes}: the descriptions of {len(self._channels)} channels take"
            f" {self._file.size:,} bytes of each of {NUM_FILES} files: give {least} or more"
        )

    def wants(self, channel: int) -> bool:
        return True

    def write(self, channel: int, data: bytes, *, log_ns: int, publish_ns: int, sequence: int) -> None:
        most = None if self._max_bytes is None else self._room(self._max_bytes)
        if most is not None and self._file.size + len(data) >= most:
            self._file.finish({})
            self._file = self._opened()
            self._ids = [self._file.register(each) for each in self._channels]
        log_ns, publish_ns = (min(max(at_ns, 0), _MAX_TIME_NS) for at_ns in (log_ns, publish_ns))
        self._file.add(self._ids[channel], data, log_ns, publish_ns, sequence)

    def close(self, ending: dict[str, str]) -> None:
        self._file.finish(ending)

    def _room(self, max_bytes: int) -> int:
        """Of one file, before its last chunk and its index."""
        return max_bytes // NUM_FILES - 2 * CHUNK_BYTES - self._index_bytes

    def _opened(self) -> _McapOutput:
        path = self._path
        if self._max_bytes is not None:
            self._number += 1
            path = path.with_name(f"{path.stem}_{self._number:04d}{path.suffix}")
            self._make_room(self._max_bytes - self._max_bytes // NUM_FILES)
        self.paths.append(path)
        return _McapOutput(path, self._record)

    def _make_room(self, max_bytes: int) -> None:
        """Delete the oldest files until the others have `max_bytes` together."""
        sizes = {path: size for path in (*self._earlier, *self.paths) if (size := _size_of(path)) is not None}
        while sizes and sum(sizes.values()) > max_bytes:
            oldest = next(iter(sizes))
            oldest.unlink(missing_ok=True)
            del sizes[oldest]
            self.num_deleted += 1
        self._earlier = [path for path in self._earlier if path in sizes]
        self.paths = [path for path in self.paths if path in sizes]


class _McapOutput:
    """One file. Records before `_good` bytes are whole."""

    def __init__(self, path: Path, record: RunRecord) -> None:
        self._path = path
        self._stream = path.open("xb", buffering=0)
        self._output = _Whole(self._stream)
        self._is_finished = False
        self._writer = McapWriter(self._output, folder=path.absolute().parent, chunk_bytes=CHUNK_BYTES)
        self._table = ChannelTable(self._writer)
        self._do(lambda: self._begin(record))

    @property
    def size(self) -> int:
        """With the index of its chunks, which is written at the end."""
        return self._output.tell() + self._writer.index_bytes

    def register(self, channel: ChannelSpec) -> int:
        data = json.dumps(channel.schema).encode()
        schema = import_mcap("mcap.records").Schema(
            id=0, name=channel.schema_name, encoding="jsonschema", data=data
        )
        return int(
            self._do(lambda: self._table.register(channel.topic, "json", schema, dict(channel.metadata)))
        )

    def add(self, channel: int, data: bytes, log_ns: int, publish_ns: int, sequence: int) -> None:
        self._do(
            lambda: self._writer.add_message(
                channel, log_time=log_ns, data=data, publish_time=publish_ns, sequence=sequence
            )
        )

    def finish(self, ending: dict[str, str]) -> None:
        """Index and end. Nothing where a write has failed before."""
        if self._is_finished:
            return

        def call() -> None:
            if ending:
                self._writer.add_metadata(END_NAME, ending)
            self._writer.finish()

        self._do(call)
        self._is_finished = True
        os.fsync(self._stream.fileno())
        self._stream.close()

    def _begin(self, record: RunRecord) -> None:
        self._writer.start(f"sage {__version__}")
        self._writer.add_metadata(RUN_NAME, dict(record.run))
        self._writer.add_metadata(EFFECTORS_NAME, {"specs": json.dumps(record.effectors)})
        start_ns = int(record.run["start_ns"])
        self._writer.add_attachment(
            start_ns, start_ns, CONFIG_NAME, "application/yaml", record.config.encode()
        )

    def _do(self, call: Any) -> Any:
        """A call that writes. After an OSError the file is cut to its whole records and closed."""
        try:
            return call()
        except OSError as error:
            self._is_finished = True
            self._output.cut()
            self._stream.close()
            self._writer.close()
            reason = error.strerror or str(error)
            raise OSError(
                error.errno,
                f"{reason.lower()}: what was written can be read after `sage recording recover {self._path}`",
            ) from error


class _Whole:
    """A file to write to that can be cut to the last write that was complete."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._good = 0

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        while len(view):
            view = view[self._stream.write(view) :]
        self._good += len(data)
        return len(data)

    def tell(self) -> int:
        return self._good

    def flush(self) -> None:
        """Nothing is buffered."""

    def cut(self) -> None:
        self._stream.truncate(self._good)


def series_of(path: Path) -> dict[int, Path]:
    """The files of a series on the disk, by their numbers, in order."""
    pattern = re.compile(rf"{re.escape(path.stem)}_(\d{{4,}}){re.escape(path.suffix)}")
    found = {int(match[1]): each for each in path.parent.iterdir() if (match := pattern.fullmatch(each.name))}
    return dict(sorted(found.items()))


def unused_path(path: Path) -> Path:
    """`path`, or where it exists NAME_2.mcap, NAME_3.mcap, ...: no recording is written over."""
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.stem}_{number}{path.suffix}")
    return found


def _size_of(path: Path) -> int | None:
    """None for a file that is not there any more."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def check_name(path: Path, max_bytes: int | None) -> None:
    """UserError for a name or a number of bytes that will not do."""
    if path.suffix != ".mcap":
        raise UserError(f"--record {path}: give a name that ends in .mcap")
    if max_bytes is not None and max_bytes < MIN_BUDGET:
        raise UserError(f"--record-max-bytes {max_bytes}: give {MIN_BUDGET} or more")


def check_output(path: Path, max_bytes: int | None) -> None:
    """UserError for a name or a folder that will not do, and without the package mcap."""
    check_name(path, max_bytes)
    try:
        import_mcap("mcap.writer")
    except SensorUnavailable as error:
        raise UserError(f"--record: {error}") from error
    if path.is_dir():
        raise UserError(f"--record {path}: is a directory: give a file")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise UserError(f"--record {path}: cannot write in {path.parent}: give a folder that can be written")
