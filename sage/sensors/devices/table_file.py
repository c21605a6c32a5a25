"""Recorded tables on disk, whole in memory: CSV, NPZ (an array and `<key>__cols`), Parquet.

Invariant: what `load_table` returns is finite float64 with a name for each column, in the file's order;
whatever it cannot read is one SensorUnavailable that names the file, the place in it and the remedy.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sage.sensors.contract import SensorUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """columns: C names.  values: (N, C) float64, NaN where a cell was empty or no number."""

    columns: tuple[str, ...]
    values: np.ndarray


def load_table(path: Path, *, key: str | None, columns: Sequence[str] | None, time: str) -> Table:
    """Column `time` first, then `columns` in the order given, or all others in the file's. Chosen by the
    suffix.
    """
    readers = {".csv": _read_csv, ".npz": _read_npz, ".parquet": _read_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise SensorUnavailable(f"{path}: a table is {', '.join(readers)}: rename or convert it")
    if not path.is_file():
        raise SensorUnavailable(
            f"{path}: no such file: check `path`, which counts from where the command is given"
        )
    if key is not None and reader is not _read_npz:
        raise SensorUnavailable(f"{path}: `key` is for .npz files: leave it out")
    try:
        table = reader(path, key, _Wanted(path=path, time=time, columns=columns))
    except (OSError, ValueError, KeyError) as error:
        raise SensorUnavailable(
            f"{path}: cannot be read as a table: {' '.join(str(error).split())}"
        ) from error
    if len(table.values) == 0:
        raise SensorUnavailable(f"{path}: has no rows: give a recording with at least one")
    return table


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    path: Path
    time: str
    columns: Sequence[str] | None

    def among(self, names: Sequence[str]) -> list[str]:
        """The names to read, time first; SensorUnavailable says what there is when one is missing."""
        chosen = (
            list(self.columns) if self.columns is not None else [name for name in names if name != self.time]
        )
        missing = [name for name in (self.time, *chosen) if name not in names]
        if missing:
            raise SensorUnavailable(f"{self.path}: no column {missing[0]!r}: it has {', '.join(names)}")
        if not chosen:
            raise SensorUnavailable(
                f"{self.path}: no column but the time {self.time!r}: there is nothing to observe"
            )
        return [self.time, *chosen]


def _read_csv(path: Path, key: str | None, wanted: _Wanted) -> Table:
    with path.open(newline="", encoding="utf-8-sig") as file:
        header = [name.strip() for name in next(csv.reader(file), [])]
    names = wanted.among(header)
    places = [header.index(name) for name in names]
    return Table(columns=tuple(names), values=_csv_values(path, places))


def _csv_values(path: Path, places: list[int]) -> np.ndarray:
    """(N, len(places)) float64."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a file with no rows, which load_table says better
        try:
            return np.loadtxt(
                path,
                delimiter=",",
                skiprows=1,
                usecols=places,
                ndmin=2,
                quotechar='"',
                comments=None,
                encoding="utf-8-sig",
            )
        except ValueError:
            # Slower, and reads a cell that is empty or no number as NaN, so that it can be named by row and
            # column.
            values = np.genfromtxt(
                path, delimiter=",", skip_header=1, usecols=places, comments="\0", encoding="utf-8-sig"
            )
            return np.asarray(values.reshape(-1, len(places)))


def _read_npz(path: Path, key: str | None, wanted: _Wanted) -> Table:
    with np.load(path, allow_pickle=False) as arrays:
        tables = [name for name in arrays if not name.endswith("__cols")]
        if key is None and len(tables) == 1:
            key = tables[0]
        if key not in tables:
            raise SensorUnavailable(f"{path}: `key` is {key!r}: give one of {', '.join(tables)}")
        if f"{key}__cols" not in arrays:
            raise SensorUnavailable(
                f"{path}: no array {key}__cols: add one with a name for each column of {key}"
            )
        header = [str(name) for name in arrays[f"{key}__cols"]]
        values = arrays[key]
    if values.ndim != 2 or values.shape[1] != len(header):
        raise SensorUnavailable(
            f"{path}: {key} has shape {values.shape} for {len(header)} names: give (rows, names)"
        )
    names = wanted.among(header)
    places = [header.index(name) for name in names]
    return Table(columns=tuple(names), values=values[:, places].astype(np.float64))


def _read_parquet(path: Path, key: str | None, wanted: _Wanted) -> Table:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise SensorUnavailable(
            f"{path}: Parquet needs the package pyarrow: pip install 'sage-runtime[parquet]'"
        ) from error
    file = parquet.ParquetFile(path)
    names = wanted.among(file.schema_arrow.names)
    table = file.read(columns=names)
    values = np.empty((table.num_rows, len(names)))
    for place, name in enumerate(names):
        values[:, place] = table.column(name).to_numpy().astype(np.float64)
    return Table(columns=tuple(names), values=values)
