"""`sage recording export`: tables of a recording, as Parquet or CSV.

Invariant: written in chunks, so memory does not grow with the length of the recording. A file is complete or
not there. Times are seconds since the run's start, and wall time in ns.
"""

from __future__ import annotations

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from sage.app.recording.channels import COHERENCE_TOPIC, EVENT_TOPIC, SLEEP_TOPIC, TICK_TOPIC
from sage.app.terminal.errors import UserError
from sage.durable import replacing
from sage.errors import SageError
from sage.sensors.recordings.codec import FORM_KEY, SOURCE_KEY, SPEC_KEY, STATUS_FORM
from sage.sensors.recordings.mcap_file import McapFile
from sage.sensors.recordings.recorded_stream import start_of

_CHUNK_ROWS = 2000
_READING = ("time_secs", "captured_ns", "received_ns", "sequence", "noise_std", "quality", "confidence")
_SOURCE = ("trust", "weight", "quality", "surprise", "novelty", "salience", "error", "age_ns", "is_fresh")
_TICK = ("tick", "state", "num_segments", "value", "digest")
_PARTS = {
    "coherence": ("coherence", "xerr", "agreement", "correctness"),
    "learning": ("loss", "weights_version"),
}
_EVENT = ("kind", "name", "message", "tick")
#: Of a source's name in the name of its file.
_MAX_NAME_BYTES = 200
Format = Literal["parquet", "csv"]
Row = list[Any]


def export_recording(path: Path, out: Path, file_format: Format) -> tuple[Path, ...]:
    """The files written: one for each source, `ticks`, `trust` (a row for each tick and source), `events`,
    `nights`, `coherence`, `status`; none for a channel without messages. A picture's row has its size alone.

    UserError for a file that cannot be read and a folder that cannot be written.
    """
    try:
        with McapFile(path) as file:
            start_ns = start_of(file)
            out.mkdir(parents=True, exist_ok=True)
            written = []
            for name, channels, table in _tables(file):
                if any(map(file.count_of, channels)):
                    target = out / f"{name}.{file_format}"
                    rows = table.rows(file, channels, start_ns)
                    _write(target, table.columns, rows, file_format)
                    written.append(target)
            return tuple(written)
    except SageError as error:
        raise UserError(str(error)) from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"{out}: {reason}: give a folder that can be written") from error
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: a message cannot be exported ({error}): run `sage recording check {path}`"
        ) from error


class _Table(ABC):
    """columns: name -> "int64", "float64", "bool" or "string"."""

    def __init__(self, columns: dict[str, str]) -> None:
        self.columns = columns

    def rows(self, file: McapFile, channels: Sequence[Any], start_ns: int) -> Iterator[Row]:
        numbers = {each.id for each in channels}  # earlier recordings can have one topic for two sources
        for _, channel, record in file.messages(topics=[each.topic for each in channels]):
            if channel.id in numbers:
                message = json.loads(record.data)
                yield from self.rows_of(message, channel, record, (record.log_time - start_ns) / 1e9)

    @abstractmethod
    def rows_of(self, message: dict[str, Any], channel: Any, record: Any, secs: float) -> Iterator[Row]:
        """The rows of one message. secs: since the start of the recording."""


class _Readings(_Table):
    def __init__(self, spec: dict[str, Any], form: str) -> None:
        self._form = form
        num = 1
        for size in spec["tensor"]["shape"]:
            num *= int(size)
        names = _distinct(list(spec["channels"]) or [f"c{index}" for index in range(num)], _READING)
        dtype = spec["tensor"]["dtype"]
        kind = "int64" if dtype.startswith(("int", "uint")) else "bool" if dtype == "bool" else "float64"
        values = {name: kind for name in names} if form == "values" else {"num_bytes": "int64"}
        whole = ("captured_ns", "received_ns", "sequence")
        heads = {name: "int64" if name in whole else "float64" for name in _READING}
        super().__init__(heads | values)

    def rows_of(self, message: dict[str, Any], channel: Any, record: Any, secs: float) -> Iterator[Row]:
        head = [secs, record.publish_time, record.log_time, *(message[name] for name in _READING[3:])]
        if self._form == "values":
            given = message["values"]
            yield head + (list(given.values()) if isinstance(given, dict) else list(given))
        else:
            data = message["data"]
            yield [*head, len(data) * 3 // 4 - data[-2:].count("=")]


class _Ticks(_Table):
    def __init__(self) -> None:
        kinds = {"tick": "int64", "num_segments": "int64", "state": "string", "digest": "string"}
        parts = {
            name: "int64" if name.endswith("version") else "float64"
            for each in _PARTS.values()
            for name in each
        }
        super().__init__({"time_secs": "float64"} | {n: kinds.get(n, "float64") for n in _TICK} | parts)

    def rows_of(self, message: dict[str, Any], channel: Any, record: Any, secs: float) -> Iterator[Row]:
        parts = [message[part][name] for part, names in _PARTS.items() for name in names]
        yield [secs, *(message[name] for name in _TICK), *parts]


class _Trust(_Table):
    def __init__(self) -> None:
        kinds = {"age_ns": "int64", "is_fresh": "bool"}
        head = {"time_secs": "float64", "tick": "int64", "source": "string", "status": "string"}
        super().__init__(head | {name: kinds.get(name, "float64") for name in _SOURCE})

    def rows_of(self, message: dict[str, Any], channel: Any, record: Any, secs: float) -> Iterator[Row]:
        for source in message["sources"]:
            yield [
                secs,
                message["tick"],
                source["name"],
                source["status"],
                *(source[name] for name in _SOURCE),
            ]


class _Events(_Table):
    def __init__(self) -> None:
        super().__init__({"time_secs": "float64"} | {n: "int64" if n == "tick" else "string" for n in _EVENT})

    def rows_of(self, message: dict[str, Any], channel: Any, record: Any, secs: float) -> Iterator[Row]:
        yield [secs, *(message[name] for name in _EVENT)]


class _Status(_Table):
    def __init__(self) -> None:
        super().__init__(
            {"time_secs": "float64", "source": "string", "status": "string", "message": "string"}
        )

    def rows_of(self, message: dict[str, Any], channel: Any, record: Any, secs: float) -> Iterator[Row]:
        yield [secs, channel.metadata[SOURCE_KEY], message["status"], message["message"]]


class _Plain(_Table):
    """Fields of a message by name."""

    def __init__(self, fields: dict[str, str]) -> None:
        self._fields = fields
        super().__init__({"time_secs": "float64"} | fields)

    def rows_of(self, message: dict[str, Any], channel: Any, record: Any, secs: float) -> Iterator[Row]:
        yield [secs, *(message[name] for name in self._fields)]


def _tables(file: McapFile) -> Iterator[tuple[str, list[Any], _Table]]:
    """(name of the file, channels, table)."""
    sources = [each for each in file.channels() if SPEC_KEY in each.metadata]
    for channel, name in zip(sources, _distinct([_file_name(each.metadata[SOURCE_KEY]) for each in sources])):
        spec = json.loads(channel.metadata[SPEC_KEY])
        yield f"source.{name}", [channel], _Readings(spec, channel.metadata[FORM_KEY])
    statuses = [each for each in file.channels() if each.metadata.get(FORM_KEY) == STATUS_FORM]
    nights = {"outcome": "string", "reason": "string", "tick": "int64", "loss_before": "float64"}
    nights |= {name: "float64" for name in ("loss_after", "gain", "gain_low", "gain_high")}
    coherence = {"metric": "string", "modules": "string", "tick": "int64", "value": "float64"}
    coherence |= {name: "float64" for name in ("null_mean", "null_std", "z")}
    yield "ticks", _of_topic(file, TICK_TOPIC), _Ticks()
    yield "trust", _of_topic(file, TICK_TOPIC), _Trust()
    yield "events", _of_topic(file, EVENT_TOPIC), _Events()
    yield "nights", _of_topic(file, SLEEP_TOPIC), _Plain(nights)
    yield "coherence", _of_topic(file, COHERENCE_TOPIC), _Plain(coherence)
    yield "status", statuses, _Status()


def _of_topic(file: McapFile, topic: str) -> list[Any]:
    return [each for each in file.channels() if each.topic == topic]


def _file_name(source: str) -> str:
    """A part of a file's name."""
    return source.replace("/", "_").encode()[:_MAX_NAME_BYTES].decode(errors="ignore")


def _distinct(names: Sequence[str], taken: Collection[str] = ()) -> list[str]:
    """The names, each that is taken, or that a name before it has, with a number: `quality_2`."""
    found: list[str] = []
    for name in names:
        key, number = name, 1
        while key in found or key in taken:
            number += 1
            key = f"{name}_{number}"
        found.append(key)
    return found


def _write(target: Path, columns: dict[str, str], rows: Iterator[Row], file_format: Format) -> None:
    with replacing(target) as partial:
        if file_format == "csv":
            _write_csv(partial, columns, rows)
        else:
            _write_parquet(partial, columns, rows)


def _write_csv(target: Path, columns: dict[str, str], rows: Iterator[Row]) -> None:
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def _write_parquet(target: Path, columns: dict[str, str], rows: Iterator[Row]) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UserError("Parquet needs the package pyarrow: pip install 'sage-runtime[parquet]'") from error
    kinds = {name: getattr(pa, name)() for name in ("int64", "float64", "string")}
    kinds["bool"] = pa.bool_()
    schema = pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
    with pq.ParquetWriter(target, schema) as writer:
        while chunk := [row for _, row in zip(range(_CHUNK_ROWS), rows)]:
            arrays = [pa.array(values, type=field.type) for values, field in zip(zip(*chunk), schema)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
