"""Replay of a recorded table: rows come when their time comes on the run's clock.

Invariant: a row's captured_ns is the epoch plus its time less `time_zero_secs`, so that tables, video and
audio of one recording, given one `time_zero_secs`, stand on one time axis. Rows are told in order, each once
(each lap).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

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
from sage.sensors.devices.table_file import Table, load_table


class TableConfig(SensorConfig):
    """path: .csv, .npz or .parquet, relative to where the command is given.  key: the array in an .npz.

    time: the column with the time, `time_scale` seconds a unit (1e-6 for microseconds).  columns: all others
    when left out.
    start_secs, stop_secs: the part to replay, on the recording's own time; all of it when left out.
    time_zero_secs: the recording's time at the run's epoch; start_secs, or the first row's, when left out.
    Rows before it are not told.  max_rate_hz: rows that follow the last kept one closer than this are
    skipped.
    missing: what a cell without a number means: "error", "hold" (the last row's value; such rows at the start
    are dropped) or "drop" (the row is).  loop: start again at the end, `stop_secs` (or the last row and a
    period) being
    `time_zero_secs` of the next lap.  noise_std: claimed, in the unit.
    """

    kind: Literal["table"] = "table"
    path: Path
    key: str | None = None
    time: str = Field(min_length=1)
    time_scale: float = Field(1.0, gt=0)
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
        table = load_table(path, key=config.key, columns=config.columns, time=config.time)
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
            channels=table.columns[1:],
            is_bounded=True,
        )

    @property
    def spec(self) -> SensorSpec:
        return self._spec

    def open(self) -> None:
        """At the row that comes next on the clock, so that a replay opened again goes on where the world is
        by now.
        """
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
            raise SourceExhausted(f"{self._spec.name}: the recording is at its end")
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
        values = _without_missing(table, config, path)
        times_ns = np.round(values[:, 0] * config.time_scale * 1e9).astype(np.int64)  # (N,)
        _check_order(times_ns, path)
        start_ns = int(times_ns[0]) if config.start_secs is None else _ns(config.start_secs)
        zero_ns = start_ns if config.time_zero_secs is None else _ns(config.time_zero_secs)
        stop_ns = int(times_ns[-1]) if config.stop_secs is None else _ns(config.stop_secs)
        first_ns = max(start_ns, zero_ns)
        kept = np.flatnonzero((times_ns >= first_ns) & (times_ns <= stop_ns))
        if len(kept) == 0:
            raise SensorUnavailable(
                f"{path}: no row between {first_ns / 1e9:g} and {stop_ns / 1e9:g} s: its time goes from"
                f" {times_ns[0] / 1e9:g} to {times_ns[-1] / 1e9:g} s (check time_scale, start_secs,"
                " stop_secs, time_zero_secs)"
            )
        if config.max_rate_hz is not None:
            kept = kept[_thin(times_ns[kept], config.max_rate_hz)]
        self.offsets_ns = times_ns[kept] - zero_ns
        self.values = np.ascontiguousarray(values[kept, 1:], dtype=np.float32)
        self.period_ns = _median_step_ns(self.offsets_ns)
        self.lap_ns = int(self.offsets_ns[-1]) + self.period_ns
        if config.stop_secs is not None:
            self.lap_ns = max(self.lap_ns, stop_ns - zero_ns)


def _ns(secs: float) -> int:
    return round(secs * 1e9)


def _median_step_ns(times_ns: np.ndarray) -> int:
    """Of steps above 0; a second where there is none."""
    steps_ns = np.diff(times_ns)
    steps_ns = steps_ns[steps_ns > 0]
    return int(np.median(steps_ns)) if len(steps_ns) else 1_000_000_000


def _without_missing(table: Table, config: TableConfig, path: Path) -> np.ndarray:
    """(N, 1 + C): every cell finite, or SensorUnavailable."""
    values = table.values
    is_missing = ~np.isfinite(values)  # (N, 1 + C)
    if not is_missing.any():
        return values
    if config.missing == "error":
        row, column = np.argwhere(is_missing)[0]
        raise SensorUnavailable(
            f"{path}: row {row + 1}, column {table.columns[column]!r} holds no number"
            f" ({int(is_missing.sum())} such cells): leave the column out of `columns`, or set `missing:"
            " hold` or `missing: drop`"
        )
    if config.missing == "drop":
        whole: np.ndarray = values[~is_missing.any(axis=1)]
        return whole
    rows = np.where(
        is_missing, 0, np.arange(len(values))[:, None]
    )  # (N, 1 + C): the row each cell is held from
    held: np.ndarray = np.take_along_axis(values, np.maximum.accumulate(rows, axis=0), axis=0)
    # A time cannot be held: a row without one, and those before every column had a value, go.
    held = held[~is_missing[:, 0] & np.isfinite(held).all(axis=1)]
    return held


def _check_order(times_ns: np.ndarray, path: Path) -> None:
    if len(times_ns) == 0:
        raise SensorUnavailable(f"{path}: no row is left without missing cells: choose other `columns`")
    backwards = np.flatnonzero(np.diff(times_ns) < 0)
    if len(backwards):
        raise SensorUnavailable(
            f"{path}: time goes back at row {int(backwards[0]) + 2}: sort the file by its time column"
        )


def _thin(times_ns: np.ndarray, max_rate_hz: float) -> list[int]:
    """Places of the rows kept: each a period after the one before, less a thousandth for stamps that were
    rounded.
    """
    kept: list[int] = []
    gap_ns = 0.999e9 / max_rate_hz
    next_ns = -float("inf")
    for place, now_ns in enumerate(times_ns.tolist()):
        if now_ns >= next_ns:
            kept.append(place)
            next_ns = now_ns + gap_ns
    return kept
