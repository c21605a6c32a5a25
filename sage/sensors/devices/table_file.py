"""Recorded tables on disk, read whole: CSV and TSV, NPZ, Parquet.

Invariant: each cell of the Table is the file's own number; what cannot be read is one SensorUnavailable that
has the file, the place in it and the remedy. Times that have a unit in the file keep it.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sage.errors import DataError
from sage.sensors.contract import SensorUnavailable
from sage.sensors.devices.table_columns import Table, Wanted, parse_iso
from sage.sensors.devices.table_csv import read_csv

#: What numpy, zipfile and pyarrow raise for a damaged file, or one of another form.
_FILE_ERRORS = (OSError, ValueError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)
SUFFIXES = (".csv", ".tsv", ".npz", ".parquet")


def load_table(
    path: Path,
    *,
    time: str,
    columns: Sequence[str] | None = None,
    key: str | None = None,
    delimiter: str | None = None,
    decimal: str | None = None,
) -> Table:
    """Column `time`, and `columns` in the order given or all others in the file's. The suffix is the form.

    key: the array of an .npz.  delimiter, decimal: of a .csv or .tsv, found in the file when None.
    """
    form = path.suffix.lower()
    if form not in SUFFIXES:
        raise SensorUnavailable(f"{path}: a table is {', '.join(SUFFIXES)}: rename or convert it")
    if not path.is_file():
        raise SensorUnavailable(
            f"{path}: no such file: check `path`; a relative one is relative to the current directory"
        )
    if key is not None and form != ".npz":
        raise SensorUnavailable(f"{path}: `key` is for .npz files: remove it")
    if (delimiter or decimal) and form not in (".csv", ".tsv"):
        raise SensorUnavailable(f"{path}: `delimiter` and `decimal` are for .csv and .tsv files: remove them")
    wanted = Wanted(path=path, time=time, columns=columns)
    try:
        if form == ".npz":
            table = _read_npz(path, key, wanted)
        elif form == ".parquet":
            table = _read_parquet(path, wanted)
        else:
            table = read_csv(path, wanted, delimiter=delimiter, decimal=decimal)
    except DataError as error:
        raise SensorUnavailable(str(error)) from error
    except _FILE_ERRORS as error:
        reason = " ".join(str(error).split())
        raise SensorUnavailable(f"{path}: cannot be read as a table: {reason}") from error
    if len(table.values) == 0:
        raise SensorUnavailable(f"{path}: has no rows: give a recording with at least one")
    return table


def _read_npz(path: Path, key: str | None, wanted: Wanted) -> Table:
    """One array (rows, names) with `<key>__cols`, its names; or an array of its own for each column."""
    with path.open("rb") as stream:
        loaded = np.load(stream, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise SensorUnavailable(
                f"{path}: one array without names: write it with np.savez(path, t=t, x=x)"
            )
        with loaded as arrays:
            return _from_npz(arrays, key, wanted)


def _from_npz(arrays: Mapping[str, np.ndarray], key: str | None, wanted: Wanted) -> Table:
    path = wanted.path
    tables = [name for name in arrays if not name.endswith("__cols")]
    if key is None and len(tables) == 1:
        key = tables[0]
    if key is None and wanted.time in tables:
        return _from_arrays({name: arrays[name] for name in tables}, wanted)
    if key not in tables:
        given = "`key` is missing" if key is None else f"`key` is {key!r}"
        raise SensorUnavailable(
            f"{path}: {given}: give one of {', '.join(tables)}; or name an array in `time` where each"
            " column is an array of its own"
        )
    if f"{key}__cols" not in arrays:
        raise SensorUnavailable(f"{path}: no array {key}__cols: add one with a name for each column of {key}")
    header = [str(name) for name in arrays[f"{key}__cols"].reshape(-1)]
    values = arrays[key]
    if values.ndim != 2 or values.shape[1] != len(header):
        raise SensorUnavailable(
            f"{path}: {key} has shape {values.shape} for {len(header)} names: give (rows, names)"
        )
    time, *places = wanted.among(header)
    columns = [_floats(values[:, place], header[place], path) for place in places]
    return Table(
        time=_time_array(values[:, time], path),
        columns=tuple(header[place] for place in places),
        values=np.stack(columns, axis=1),
    )


def _from_arrays(arrays: dict[str, np.ndarray], wanted: Wanted) -> Table:
    """Each column an array (rows,)."""
    names = list(arrays)
    time, *places = wanted.among(names)
    num_rows = arrays[names[time]].shape
    for place in (time, *places):
        name, shape = names[place], arrays[names[place]].shape
        if len(shape) != 1 or shape != num_rows:
            raise SensorUnavailable(
                f"{wanted.path}: {name} has shape {shape}, {wanted.time} {num_rows}: give columns of one"
                " length, or choose some in `columns`"
            )
    return Table(
        time=_time_array(arrays[names[time]], wanted.path),
        columns=tuple(names[place] for place in places),
        values=np.stack(
            [_floats(arrays[names[place]], names[place], wanted.path) for place in places], axis=1
        ),
    )


def _time_array(array: np.ndarray, path: Path) -> np.ndarray:
    """As Table has it: numbers, datetime64 or timedelta64."""
    if array.dtype.kind in "iufmMb":
        return array if array.dtype.itemsize >= 4 else array.astype(np.float64)
    iso = parse_iso([str(cell) for cell in array], path) if array.dtype.kind in "UO" else None
    if iso is None:
        raise SensorUnavailable(f"{path}: the time holds {array.dtype}: give numbers, dates or durations")
    return iso


def _floats(array: np.ndarray, name: str, path: Path) -> np.ndarray:
    """(N,) float64 of numbers and truth values."""
    if array.dtype.kind not in "iufb":
        raise SensorUnavailable(
            f"{path}: column {name!r} holds {array.dtype}: name columns of numbers in `columns`"
        )
    return array.astype(np.float64)


def _read_parquet(path: Path, wanted: Wanted) -> Table:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise SensorUnavailable(
            f"{path}: Parquet needs the package pyarrow: pip install 'sage-runtime[parquet]'"
        ) from error
    with path.open("rb") as stream, parquet.ParquetFile(stream) as file:
        header = file.schema_arrow.names
        time, *places = wanted.among(header)
        names = [header[place] for place in places]
        table = file.read(columns=[header[time], *names])
    values = [_parquet_floats(table.column(name), name, path) for name in names]
    return Table(
        time=_parquet_time(table.column(header[time]), path),
        columns=tuple(names),
        values=np.stack(values, axis=1),
    )


def _parquet_floats(column: Any, name: str, path: Path) -> np.ndarray:
    """(N,) float64, NaN for null."""
    import pyarrow
    from pyarrow import types

    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if types.is_boolean(kind):
        column = column.cast(pyarrow.int8())
    elif types.is_decimal(kind) or types.is_float16(kind):
        column = column.cast(pyarrow.float64())
    elif not (types.is_integer(kind) or types.is_floating(kind)):
        raise SensorUnavailable(f"{path}: column {name!r} holds {kind}: name columns of numbers in `columns`")
    return np.asarray(column.to_numpy(), dtype=np.float64)


def _parquet_time(column: Any, path: Path) -> np.ndarray:
    """As Table has it, in the file's own unit. Timestamps with a zone are UTC in the file."""
    import pyarrow
    from pyarrow import types

    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if types.is_date(kind):
        column = column.cast(pyarrow.timestamp("s"))
        kind = column.type
    if types.is_timestamp(kind):
        return _with_unit(column, f"datetime64[{kind.unit}]")
    if types.is_duration(kind) or types.is_time(kind):
        return _with_unit(column, f"timedelta64[{kind.unit}]")
    if types.is_string(kind) or types.is_large_string(kind):
        return _time_array(np.array([str(cell or "") for cell in column.to_pylist()]), path)
    if types.is_integer(kind) and column.null_count == 0:
        return np.asarray(column.to_numpy())
    return _parquet_floats(column, "time", path)


def _with_unit(column: Any, dtype: str) -> np.ndarray:
    """(N,) of that dtype, NaT for null; the integers of the file are kept."""
    import pyarrow

    missing = np.asarray(column.is_null().to_numpy(), dtype=bool)
    bits = pyarrow.int32() if column.type.bit_width == 32 else pyarrow.int64()
    counts = column.cast(bits).fill_null(0).to_numpy().astype(np.int64)
    times: np.ndarray = counts.astype(dtype)
    times[missing] = np.array("NaT", dtype=dtype)
    return times
