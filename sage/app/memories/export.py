"""`sage memory export`: every memory and puzzle with its arrays, as JSONL, msgpack or Parquet.

Invariant: the three formats hold the same records; the schema's name is in the file. A file of this name that
was there before stays until the new one is complete.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from sage.app.memories.archive import FIELDS, Archive, Mind, Table
from sage.app.memories.search import fields_of
from sage.app.memories.streams import PUZZLE_FIELDS, Tasks, read_streams
from sage.app.terminal.errors import UserError
from sage.durable import replacing

SCHEMA = "sage-memory/1"
#: Of a record, besides its arrays. Memories have null in those of puzzles, and the reverse.
EXPORTED = (*FIELDS, *PUZZLE_FIELDS)
_TEXTS = ("mind", "store", "level", "provenance", "puzzle", "solution")
_FLOATS = ("salience", "trust", "surprise")
_OWN = ("ids", "first_ids", "episodes", "first_episodes", "first_times_ns", "contexts", "times_ns")
_CHUNK = 256
#: (fields, arrays) of each.
Records = Iterator[tuple[dict[str, Any], dict[str, np.ndarray]]]


def export(archive: Archive, out: Path) -> tuple[int, int]:
    """Write `out`, whose suffix chooses the format; returns the numbers of memories and of puzzles. Raises
    UserError.
    """
    writers = {".jsonl": _write_jsonl, ".msgpack": _write_msgpack, ".parquet": _write_parquet}
    if out.suffix not in writers:
        raise UserError(
            f"{out}: cannot export to {out.suffix or 'no suffix'!r}: end the name in {', '.join(writers)}"
        )
    num_of = {False: 0, True: 0}

    def counted() -> Records:
        for fields, arrays in records(archive):
            num_of[fields["puzzle"] is not None] += 1
            yield fields, arrays

    try:
        with replacing(out) as partial:
            writers[out.suffix](counted(), partial)
    except OSError as error:
        raise UserError(
            f"{out}: cannot write ({error.strerror}): give another path, or free disk space"
        ) from error
    return num_of[False], num_of[True]


def records(archive: Archive) -> Records:
    """(fields, arrays) of every memory and puzzle. arrays: those of its slot, without the ones that are
    fields; of a puzzle its cells, and those of its solution where one is known.
    """
    for mind, table in archive.tables():
        yield from _records_of(mind, table)
    tasks = Tasks()
    for puzzles in read_streams(archive.state_dir).tables:
        for at in range(len(puzzles)):
            cells, solution = puzzles.cells(at)
            arrays = {"cells": cells} if solution is None else {"cells": cells, "solution": solution}
            yield puzzles.fields(at, tasks.of(puzzles)), arrays


def _records_of(mind: Mind, table: Table) -> Records:
    columns = table.columns()
    names = [name for name in table.state.arrays if name not in _OWN]
    for at, slot in enumerate(table.slots.tolist()):
        arrays = {name: np.asarray(table.state.arrays[name][slot]) for name in names}
        yield {**fields_of(mind, table, columns, at), **dict.fromkeys(PUZZLE_FIELDS)}, arrays


def _write_jsonl(found: Records, out: Path) -> None:
    """The first line is {"schema": ..., "fields": [...]}. NaN and infinities are null."""
    with out.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"schema": SCHEMA, "fields": [*EXPORTED, "arrays"]}) + "\n")
        for fields, arrays in found:
            plain = {
                name: {
                    "dtype": str(array.dtype),
                    "shape": list(array.shape),
                    "values": [_json_number(x) for x in array.reshape(-1).tolist()],
                }
                for name, array in arrays.items()
            }
            file.write(json.dumps({**fields, "arrays": plain}, allow_nan=False) + "\n")


def _json_number(value: Any) -> Any:
    return value if not isinstance(value, float) or np.isfinite(value) else None


def _write_msgpack(found: Records, out: Path) -> None:
    """A stream of maps; the first is {"schema": ..., "fields": [...]}. Arrays as (dtype, shape, bytes)."""
    with out.open("wb") as file:
        file.write(msgpack.packb({"schema": SCHEMA, "fields": [*EXPORTED, "arrays"]}))
        for fields, arrays in found:
            packed = {
                name: (str(array.dtype), array.shape, array.tobytes()) for name, array in arrays.items()
            }
            file.write(msgpack.packb({**fields, "arrays": packed}))


def _write_parquet(found: Records, out: Path) -> None:
    """Columns EXPORTED, and `arrays`: a map from name to (dtype, shape, data)."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UserError(
            "export to Parquet needs pyarrow: pip install 'sage-runtime[parquet]', or export to .jsonl"
        ) from error
    array_type = pa.struct([("dtype", pa.string()), ("shape", pa.list_(pa.int64())), ("data", pa.binary())])
    kinds = dict.fromkeys(_TEXTS, pa.string()) | dict.fromkeys(_FLOATS, pa.float64())
    columns = [pa.field(name, kinds.get(name, pa.int64())) for name in EXPORTED]
    schema = pa.schema([*columns, pa.field("arrays", pa.map_(pa.string(), array_type))], {"schema": SCHEMA})
    chunk: list[dict[str, Any]] = []
    with pq.ParquetWriter(out, schema) as writer:
        for fields, arrays in found:
            packed = [
                (name, {"dtype": str(array.dtype), "shape": array.shape, "data": array.tobytes()})
                for name, array in arrays.items()
            ]
            chunk.append({**fields, "arrays": packed})
            if len(chunk) == _CHUNK:
                writer.write_table(pa.Table.from_pylist(chunk, schema))
                chunk.clear()
        writer.write_table(pa.Table.from_pylist(chunk, schema))
