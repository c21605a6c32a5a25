"""`sage memory export`: every memory with its arrays, as JSONL, msgpack or Parquet.

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
from sage.app.terminal.errors import UserError
from sage.durable import replacing

SCHEMA = "sage-memory/1"
_NUMBERS = {"salience": "float64", "trust": "float64"}
_OWN = ("ids", "first_ids", "episodes", "first_episodes", "first_times_ns", "contexts", "times_ns")
_CHUNK = 256


def export(archive: Archive, out: Path) -> int:
    """Write `out`, whose suffix chooses the format; returns the number of memories. Raises UserError."""
    writers = {".jsonl": _write_jsonl, ".msgpack": _write_msgpack, ".parquet": _write_parquet}
    if out.suffix not in writers:
        raise UserError(
            f"{out}: cannot export to {out.suffix or 'no suffix'!r}: end the name in {', '.join(writers)}"
        )
    try:
        with replacing(out) as partial:
            return writers[out.suffix](archive, partial)
    except OSError as error:
        raise UserError(
            f"{out}: cannot write ({error.strerror}): give another path, or free disk space"
        ) from error


def records(archive: Archive) -> Iterator[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """(fields, arrays) of every memory. arrays: those of its slot, without the ones that are fields."""
    for mind, table in archive.tables():
        yield from _records_of(mind, table)


def _records_of(mind: Mind, table: Table) -> Iterator[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    columns = table.columns()
    names = [name for name in table.state.arrays if name not in _OWN]
    for at, slot in enumerate(table.slots.tolist()):
        arrays = {name: np.asarray(table.state.arrays[name][slot]) for name in names}
        yield fields_of(mind, table, columns, at), arrays


def _write_jsonl(archive: Archive, out: Path) -> int:
    """The first line is {"schema": ..., "fields": [...]}. NaN and infinities are null."""
    num = 0
    with out.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"schema": SCHEMA, "fields": [*FIELDS, "arrays"]}) + "\n")
        for fields, arrays in records(archive):
            plain = {
                name: {
                    "dtype": str(array.dtype),
                    "shape": list(array.shape),
                    "values": [_json_number(x) for x in array.reshape(-1).tolist()],
                }
                for name, array in arrays.items()
            }
            file.write(json.dumps({**fields, "arrays": plain}, allow_nan=False) + "\n")
            num += 1
    return num


def _json_number(value: Any) -> Any:
    return value if not isinstance(value, float) or np.isfinite(value) else None


def _write_msgpack(archive: Archive, out: Path) -> int:
    """A stream of maps; the first is {"schema": ..., "fields": [...]}. Arrays as (dtype, shape, bytes)."""
    num = 0
    with out.open("wb") as file:
        file.write(msgpack.packb({"schema": SCHEMA, "fields": [*FIELDS, "arrays"]}))
        for fields, arrays in records(archive):
            packed = {
                name: (str(array.dtype), array.shape, array.tobytes()) for name, array in arrays.items()
            }
            file.write(msgpack.packb({**fields, "arrays": packed}))
            num += 1
    return num


def _write_parquet(archive: Archive, out: Path) -> int:
    """Columns FIELDS, and `arrays`: a map from name to (dtype, shape, data)."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UserError(
            "export to Parquet needs pyarrow: pip install 'sage-runtime[parquet]', or export to .jsonl"
        ) from error
    array_type = pa.struct([("dtype", pa.string()), ("shape", pa.list_(pa.int64())), ("data", pa.binary())])
    kinds = {"int64": pa.int64(), "float64": pa.float64(), "string": pa.string()}
    columns = [
        pa.field(name, kinds["string" if name in ("mind", "store") else _NUMBERS.get(name, "int64")])
        for name in FIELDS
    ]
    schema = pa.schema([*columns, pa.field("arrays", pa.map_(pa.string(), array_type))], {"schema": SCHEMA})
    num, chunk = 0, []
    with pq.ParquetWriter(out, schema) as writer:
        for fields, arrays in records(archive):
            packed = [
                (name, {"dtype": str(array.dtype), "shape": array.shape, "data": array.tobytes()})
                for name, array in arrays.items()
            ]
            chunk.append({**fields, "arrays": packed})
            num += 1
            if len(chunk) == _CHUNK:
                writer.write_table(pa.Table.from_pylist(chunk, schema))
                chunk.clear()
        writer.write_table(pa.Table.from_pylist(chunk, schema))
    return num
