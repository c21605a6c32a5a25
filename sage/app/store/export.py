"""Export of a session: one row per tick, one column per figure and source.

Invariant: written in chunks, so memory does not grow with the length of the session.
"""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sage.app.store.schema import SOURCE_COLUMNS, TICK_COLUMNS, Column, connect
from sage.app.terminal.errors import UserError
from sage.durable import replacing
from sage.runtime.coherence.rows import CoherenceRow
from sage.runtime.report import Event, SleepReport, to_plain

if TYPE_CHECKING:
    from sage.app.store.metrics_store import MetricsStore, SessionRecord

_CHUNK_TICKS = 2000
_PLAIN_TICK = tuple(column for column in TICK_COLUMNS if column.name != "rest")
_TYPES = {"INTEGER": "int64", "REAL": "float64", "TEXT": "string"}


Columns = dict[str, str]
Write = Callable[[Path, Columns, Iterable[Sequence[list[Any]]]], None]


def export_session(store: MetricsStore, session: SessionRecord, out: Path) -> tuple[Path, ...]:
    """Write `out`, and for .parquet and .csv also `<stem>.sleeps`, `<stem>.events` and `<stem>.coherence`
    beside it. Returns the files: after an error all of them are as they were.

    Raises UserError for another suffix or a path that cannot be written.
    """
    if out.suffix not in (".parquet", ".csv", ".jsonl"):
        raise UserError(
            f"{out}: cannot export to {out.suffix or 'no suffix'!r}: end the name in .parquet, .csv or .jsonl"
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".jsonl":
            with replacing(out) as partial:
                _write_jsonl(store, session, partial)
            return (out,)
        beside = (f"{out.stem}.{part}{out.suffix}" for part in ("sleeps", "events", "coherence"))
        files = (out, *map(out.with_name, beside))
        with ExitStack() as stack:
            partials = [stack.enter_context(replacing(each)) for each in files]
            write = _write_parquet if out.suffix == ".parquet" else _write_csv
            _write_tables(write, store, session, partials)
        return files
    except OSError as error:
        raise UserError(
            f"{out}: cannot write ({error.strerror}): give another path, or free disk space"
        ) from error


def _write_tables(write: Write, store: MetricsStore, session: SessionRecord, files: Sequence[Path]) -> None:
    ticks, sleeps, events, coherence = files
    write(ticks, _tick_columns(session), _wide_rows(store, session))
    write(sleeps, _report_columns(SleepReport), [[row] for row in _plain_rows(store.sleeps(session.id))])
    rows = [[row] for row in _plain_rows(store.events(session.id, limit=-1))]
    write(events, _report_columns(Event), rows)
    rows = [[row] for row in _plain_rows(store.coherence(session.id))]
    write(coherence, _report_columns(CoherenceRow), rows)


def _tick_columns(session: SessionRecord) -> dict[str, str]:
    named = {"tick": "int64"} | {column.name: _type(column) for column in _PLAIN_TICK}
    return named | {
        f"{source}.{column.name}": _type(column) for source in session.sources for column in SOURCE_COLUMNS
    }


def _type(column: Column) -> str:
    return _TYPES.get(column.sql_type, "string")


def _report_columns(report: type[SleepReport] | type[Event] | type[CoherenceRow]) -> dict[str, str]:
    kinds = {"float": "float64", "int": "int64"}
    return {field.name: kinds.get(str(field.type), "string") for field in fields(report)}


def _plain_rows(reports: Iterable[SleepReport | Event | CoherenceRow]) -> Iterator[list[Any]]:
    for report in reports:
        values = to_plain(report)
        yield [json.dumps(value) if isinstance(value, list) else value for value in values.values()]


def _wide_rows(store: MetricsStore, session: SessionRecord) -> Iterator[list[list[Any]]]:
    """Chunks of rows in the order of `_tick_columns`; None where a source has no row."""
    connection = connect(store.path, is_reader=True)
    try:
        (key,) = connection.execute("SELECT key FROM sessions WHERE id = ?", (session.id,)).fetchone()
        width = len(SOURCE_COLUMNS)
        first = -1
        while True:
            query = "SELECT * FROM ticks WHERE session = ? AND tick > ? ORDER BY tick LIMIT ?"
            ticks = connection.execute(query, (key, first, _CHUNK_TICKS)).fetchall()
            if not ticks:
                return
            rows = {row["tick"]: _tick_values(row) + [None] * (width * len(session.sources)) for row in ticks}
            for source in range(len(session.sources)):
                query = "SELECT * FROM sources WHERE session = ? AND source = ? AND tick BETWEEN ? AND ?"
                offset = 1 + len(_PLAIN_TICK) + source * width
                for row in connection.execute(query, (key, source, ticks[0]["tick"], ticks[-1]["tick"])):
                    rows[row["tick"]][offset : offset + width] = tuple(row)[3:]
            yield list(rows.values())
            first = ticks[-1]["tick"]
    except sqlite3.Error as error:
        raise UserError(f"{store.path}: the metrics store failed ({error}): move the file away") from error
    finally:
        connection.close()


def _tick_values(row: Any) -> list[Any]:
    values = [row["tick"], *(row[column.name] for column in _PLAIN_TICK)]
    return [value.hex() if isinstance(value, bytes) else value for value in values]


def _write_csv(out: Path, columns: dict[str, str], chunks: Iterable[Sequence[list[Any]]]) -> None:
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for chunk in chunks:
            writer.writerows(chunk)


def _write_parquet(out: Path, columns: dict[str, str], chunks: Iterable[Sequence[list[Any]]]) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UserError(
            f"{out}: Parquet needs pyarrow: pip install 'sage-runtime[parquet]', or export to .csv"
        ) from error
    kinds = {"int64": pa.int64(), "float64": pa.float64(), "string": pa.string()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
    with pq.ParquetWriter(out, schema) as writer:
        for chunk in chunks:
            arrays = [pa.array(values, type=field.type) for values, field in zip(zip(*chunk), schema)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _write_jsonl(store: MetricsStore, session: SessionRecord, out: Path) -> None:
    """One object per line, `type` first: session, ticks, sleeps, events, coherence figures. NaN is null."""
    with out.open("w", encoding="utf-8") as file:

        def write(kind: str, values: dict[str, Any]) -> None:
            file.write(
                json.dumps({"type": kind, **to_plain_dict(values)}, allow_nan=False, default=str) + "\n"
            )

        write("session", asdict(session))
        names = list(_tick_columns(session))
        for chunk in _wide_rows(store, session):
            for row in chunk:
                write("tick", _nested(dict(zip(names, row)), session.sources))
        for report in store.sleeps(session.id):
            write("sleep", to_plain(report))
        for event in store.events(session.id, limit=-1):
            write("event", to_plain(event))
        for figure in store.coherence(session.id):
            write("coherence", to_plain(figure))


def to_plain_dict(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: to_plain_dict(value) if isinstance(value, dict) else to_plain(value)
        for name, value in values.items()
    }


def _nested(row: dict[str, Any], sources: Sequence[str]) -> dict[str, Any]:
    """A wide row with the columns of its sources under `sources`; sources without a row are left out."""
    nested: dict[str, Any] = {
        name: value for name, value in row.items() if name == "tick" or name in _TICK_NAMES
    }
    nested["sources"] = {
        source: {column.name: row[f"{source}.{column.name}"] for column in SOURCE_COLUMNS}
        for source in sources
        if row[f"{source}.num_ticks"] is not None
    }
    return nested


_TICK_NAMES = frozenset(column.name for column in _PLAIN_TICK)
