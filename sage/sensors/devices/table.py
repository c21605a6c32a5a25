"""Replay of a recorded table: each row is read when it is due on the run's clock.

Invariant: a row's captured_ns is the epoch plus its time less `time_zero_secs`: tables, video and audio of
one recording, given one `time_zero_secs`, have one time axis. Rows are read in order, each once a lap.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from sage.errors import InputError
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.config import SensorConfig
from sage.sensors.contract import (
    Modality,
    Reading,
    SensorContext,
    SensorError,
    SensorSpec,
    SensorUnavailable,
    SourceExhausted,
)
from sage.sensors.devices.table_columns import MAX_SECS, Table
from sage.sensors.devices.table_file import load_table


class TableConfig(SensorConfig):
    """path: .csv, .tsv, .npz or .parquet, relative to the current directory.  key: the array in an .npz.

    delimiter, decimal: of a .csv or .tsv; found in the file when left out.
    time: the column with the time.  time_scale: seconds in its unit (1e-6 for microseconds); when left out,
    the file's unit where it states one (timestamps, dates, durations, ISO 8601 texts), else seconds.
    columns: all others when left out.
    start_secs, stop_secs: the part to replay, in the recording's time; all of it when left out.
    time_zero_secs: the recording's time at the run's start; start_secs, or the first row's time, when left
    out. Rows before it are left out.  max_rate_hz: rows closer than this to the one before are left out.
    missing: what to do with a cell that holds no number: "error", "hold" (repeat the value of the row before;
    rows before a column's first value are left out) or "drop" (leave the row out).
    loop: start again at the end; a lap ends at `stop_secs`, or one period after the last row, and the next
    lap begins at `time_zero_secs`.  noise_std: claimed, in the unit.
    """

    kind: Literal["table"] = "table"
    path: Path
    key: str | None = None
    delimiter: str | None = Field(None, min_length=1, max_length=1)
    decimal: Literal[".", ","] | None = None
    time: str = Field(min_length=1)
    time_scale: float | None = Field(None, gt=0)
    columns: tuple[str, ...] | None = None
    observes: str = "table"
    unit: str = "1"
    modality: Modality = "physical"
    start_secs: float | None = None
    stop_secs: float | None = None
    time_zero_secs: float | None = None
    max_rate_hz: float | None = Field(None, gt=0)
    missing: Literal["error", "hold", "drop"] = "error"
    loop: bool = False
    noise_std: float | None = Field(None, ge=0)

    @field_validator("columns")
    @classmethod
    def _each_once(cls, columns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if columns is not None and len(set(columns)) < len(columns):
            raise InputError(f"columns is {columns}: name each column once")
        return columns

    @model_validator(mode="after")
    def _start_before_stop(self) -> TableConfig:
        if self.start_secs is not None and self.stop_secs is not None and self.stop_secs <= self.start_secs:
            raise InputError(
                f"stop_secs is {self.stop_secs}: give more than start_secs, which is {self.start_secs}"
            )
        return self


class TableSensor:
    """One row a read, when it is due. Bounded: the file is read whole when the sensor is made."""

    Config = TableConfig

    def __init__(self, config: TableConfig, context: SensorContext) -> None:
        path = context.base_dir / config.path
        table = load_table(
            path,
            time=config.time,
            columns=config.columns,
            key=config.key,
            delimiter=config.delimiter,
            decimal=config.decimal,
        )
        recording = Recording(config, table, path)
        self._clock = context.clock
        self._epoch_ns = context.epoch_ns
        self._offsets_ns: list[int] = recording.offsets_ns.tolist()  # Python ints: compared at each poll
        self._values = recording.values  # (N, C) float32
        self._lap_ns = recording.lap_ns
        self._is_looped = config.loop
        self._noise_std = float("nan") if config.noise_std is None else config.noise_std
        self._is_open = False
        self._row = 0
        self._lap = 0
        self._due_ns = 0
        self._spec = SensorSpec(
            name=config.name,
            modality=config.modality,
            tensor=TensorSpec(shape=(self._values.shape[1],)),
            period_ns=recording.period_ns,
            observes=(config.observes, config.unit),
            channels=table.columns,
            is_bounded=True,
        )

    @property
    def spec(self) -> SensorSpec:
        return self._spec

    def open(self) -> None:
        """Start at the row that is due next on the clock, also when opened again."""
        elapsed_ns = max(0, self._clock.now_ns() - self._epoch_ns)
        self._lap = elapsed_ns // self._lap_ns if self._is_looped else 0
        self._row = int(np.searchsorted(self._offsets_ns, elapsed_ns - self._lap * self._lap_ns))
        self._is_open = True
        self._schedule()

    def read_into(self, out: np.ndarray) -> Reading | None:
        if not self._is_open:
            raise SensorError(f"{self._spec.name}: read while closed: call open() first")
        now_ns = self._clock.now_ns()
        if now_ns < self._due_ns:
            return None
        if self._row >= len(self._offsets_ns):
            raise SourceExhausted(f"{self._spec.name}: end of the recording")
        out[:] = self._values[self._row]
        reading = Reading(
            captured_ns=self._due_ns,
            received_ns=now_ns,
            sequence=self._lap * len(self._offsets_ns) + self._row,
            noise_std=self._noise_std,
        )
        self._row += 1
        self._schedule()
        return reading

    def close(self) -> None:
        self._is_open = False

    def _schedule(self) -> None:
        if self._row >= len(self._offsets_ns) and self._is_looped:
            self._row = 0
            self._lap += 1
        if self._row < len(self._offsets_ns):
            self._due_ns = self._epoch_ns + self._lap * self._lap_ns + self._offsets_ns[self._row]


class Recording:
    """The part of a table that is replayed. offsets_ns: (N,) since time zero, each >= 0.  values: (N, C)
    float32.

    lap_ns: from time zero to where the next lap begins.  period_ns: the median time between rows.
    """

    def __init__(self, config: TableConfig, table: Table, path: Path) -> None:
        times_ns, values = _complete_rows(table, config, path)
        _check_order(times_ns, path)
        start_ns = int(times_ns[0]) if config.start_secs is None else _ns(config.start_secs)
        zero_ns = start_ns if config.time_zero_secs is None else _ns(config.time_zero_secs)
        stop_ns = int(times_ns[-1]) if config.stop_secs is None else _ns(config.stop_secs)
        first_ns = max(start_ns, zero_ns)
        rows = np.flatnonzero((times_ns >= first_ns) & (times_ns <= stop_ns))
        if len(rows) == 0:
            raise SensorUnavailable(
                f"{path}: no row between {_secs(first_ns)} and {_secs(stop_ns)} s: its time is"
                f" {_secs(times_ns[0])} to {_secs(times_ns[-1])} s (check time_scale, start_secs,"
                " stop_secs, time_zero_secs)"
            )
        if config.max_rate_hz is not None:
            rows = rows[_thinned(times_ns[rows], config.max_rate_hz)]
        self.offsets_ns = times_ns[rows] - zero_ns
        self.values = _as_float32(values[rows], table.columns, path)
        self.period_ns = _median_step_ns(self.offsets_ns)
        self.lap_ns = int(self.offsets_ns[-1]) + self.period_ns
        if config.stop_secs is not None:
            self.lap_ns = max(self.lap_ns, stop_ns - zero_ns)


def _as_float32(values: np.ndarray, columns: tuple[str, ...], path: Path) -> np.ndarray:
    """(N, C) float32, contiguous."""
    too_large = np.argwhere(np.abs(values) > np.finfo(np.float32).max)
    if len(too_large):
        row, column = too_large[0]
        raise SensorUnavailable(
            f"{path}: column {columns[column]!r} holds {values[row, column]:g}, too large for float32: choose"
            " other `columns`"
        )
    return np.ascontiguousarray(values, dtype=np.float32)


def _ns(secs: float) -> int:
    return round(secs * 1e9)


def _secs(time_ns: int) -> str:
    """Without an exponent, so that it can be written into a configuration."""
    return f"{time_ns / 1e9:.6f}".rstrip("0").rstrip(".")


def _median_step_ns(times_ns: np.ndarray) -> int:
    """Of steps above 0; a second where there is none."""
    steps_ns = np.diff(times_ns)
    steps_ns = steps_ns[steps_ns > 0]
    return int(np.median(steps_ns)) if len(steps_ns) else 1_000_000_000


def _complete_rows(table: Table, config: TableConfig, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(N,) int64 nanoseconds and (N, C) values, all finite, missing cells treated as the config says."""
    times_ns, has_time = times_in_ns(table.time, config.time_scale, config.time, path)
    values = table.values
    is_missing = np.column_stack((~has_time, ~np.isfinite(values)))  # (N, 1 + C)
    if not is_missing.any():
        return times_ns, values
    if config.missing == "error":
        raise SensorUnavailable(_first_missing(table, is_missing, config, path))
    if config.missing == "drop":
        whole = ~is_missing.any(axis=1)
        return times_ns[whole], values[whole]
    rows = np.arange(len(values))[:, None]
    # (N, C): the row that each cell's value comes from
    source = np.maximum.accumulate(np.where(is_missing[:, 1:], 0, rows), axis=0)
    held = np.take_along_axis(values, source, axis=0)
    # A time cannot be held: a row without one is left out, and rows before every column has a value.
    whole = has_time & np.isfinite(held).all(axis=1)
    return times_ns[whole], held[whole]


def _first_missing(table: Table, is_missing: np.ndarray, config: TableConfig, path: Path) -> str:
    row, column = (int(place) for place in np.argwhere(is_missing)[0])
    text = table.texts.get((row, column - 1))
    what = "holds no number" if text is None else f"holds {text!r}, which is no number"
    name = (config.time, *table.columns)[column]
    return (
        f"{path}: row {row + 1}, column {name!r} {what} ({int(is_missing.sum())} such cells): name columns"
        " of numbers in `columns`, or set `missing: hold` or `missing: drop`"
    )


def times_in_ns(
    time: np.ndarray, scale: float | None, name: str, path: Path
) -> tuple[np.ndarray, np.ndarray]:
    """(N,) int64 nanoseconds, and (N,) which of them are a time. time: as Table has it.

    Raises SensorUnavailable for times that do not fit, and for a `scale` beside a unit in the file.
    """
    if time.dtype.kind in "mM":
        if scale is not None:
            raise SensorUnavailable(f"{path}: column {name!r} has a unit in the file: remove `time_scale`")
        if time.dtype.kind == "m" and np.datetime_data(time.dtype)[0] in ("Y", "M", "generic"):
            raise SensorUnavailable(f"{path}: column {name!r} holds {time.dtype}: give a unit up to weeks")
        is_time = ~np.isnat(time)
        secs = np.where(is_time, time.astype(f"{time.dtype.kind}8[s]").astype(np.float64), 0.0)
        _check_range(secs, scale, name, path)
        return np.where(is_time, time.astype(f"{time.dtype.kind}8[ns]").astype(np.int64), 0), is_time
    factor = 1.0 if scale is None else scale
    is_time = np.isfinite(time)
    numbers = np.where(is_time, time, 0)
    with np.errstate(over="ignore"):
        _check_range(numbers.astype(np.float64) * factor, scale, name, path)
    unit_ns = factor * 1e9
    if time.dtype.kind in "iu" and abs(unit_ns - round(unit_ns)) < 1e-6 * unit_ns:
        return numbers.astype(np.int64) * round(unit_ns), is_time
    return np.round(numbers * factor * 1e9).astype(np.int64), is_time


def _check_range(secs: np.ndarray, scale: float | None, name: str, path: Path) -> None:
    worst = float(np.abs(secs).max(initial=0.0))
    if worst <= MAX_SECS:
        return
    units = {"1e-3": "milliseconds", "1e-6": "microseconds", "1e-9": "nanoseconds"}
    fitting = [unit for unit in units if 3e8 < worst * float(unit) < 5e9]
    remedy = "give seconds, or set `time_scale`"
    if scale is None and fitting:
        remedy = f"it looks like {units[fitting[0]]} since 1970: set `time_scale: {fitting[0]}`"
    raise SensorUnavailable(f"{path}: column {name!r} reaches {worst:g} s, over 292 years: {remedy}")


def _check_order(times_ns: np.ndarray, path: Path) -> None:
    if len(times_ns) == 0:
        raise SensorUnavailable(f"{path}: no row is left without missing cells: choose other `columns`")
    backwards = np.flatnonzero(np.diff(times_ns) < 0)
    if len(backwards):
        raise SensorUnavailable(
            f"{path}: time goes back at row {int(backwards[0]) + 2}: sort the file by its time column"
        )


def _thinned(times_ns: np.ndarray, max_rate_hz: float) -> list[int]:
    """Places of the rows that stay: each a period after the one before, less a thousandth for stamps that
    were rounded.
    """
    places: list[int] = []
    gap_ns = 0.999e9 / max_rate_hz
    next_ns = -float("inf")
    for place, now_ns in enumerate(times_ns.tolist()):
        if now_ns >= next_ns:
            places.append(place)
            next_ns = now_ns + gap_ns
    return places
