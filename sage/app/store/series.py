"""Columns of a session over time, averaged in SQL down to the resolution of a plot.

Invariant: all series of one result have the same time axis; NaN marks points without a stored value.
"""

from __future__ import annotations

import difflib
import math
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sage.app.store.schema import SOURCE_COLUMNS, TICK_COLUMNS, Column
from sage.app.terminal.errors import UserError

_TICK = {column.name: column for column in TICK_COLUMNS if column.sql_type != "BLOB"}
_EVER = (-(1 << 62), 1 << 62)
_SOURCE = {column.name: column for column in SOURCE_COLUMNS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """time_ns: (N,) int64, the run's clock at the last tick of each point.  values: by name, (N,) float64 or
    object (text).

    ticks: (N,) int64, that last tick.  num_ticks: (N,) int64, the number of ticks of each point.
    """

    time_ns: np.ndarray
    ticks: np.ndarray
    num_ticks: np.ndarray
    values: Mapping[str, np.ndarray]


def read_series(
    connection: sqlite3.Connection,
    session: int,
    names: Sequence[str],
    max_points: int,
    span_ns: tuple[int, int] | None = None,
) -> Series:
    """See MetricsStore.series. A point is one stored tick, or a span of equal length when there are too
    many.
    """
    if max_points < 2:
        raise UserError(f"max_points is {max_points}: give 2 or more")
    tick_columns, source_columns = _sort_out(connection, session, names)
    plan = _plan(connection, session, max_points, span_ns or _EVER)
    rows = connection.execute(
        f"SELECT span, MAX(tick), time_ns, SUM(num_ticks){_folded(tick_columns)} FROM (SELECT *, (time_ns -"
        " :first) / :width AS span FROM ticks WHERE session = :session AND time_ns BETWEEN :first AND"
        " :last) GROUP BY span ORDER BY span",
        plan,
    ).fetchall()
    position = {row[0]: index for index, row in enumerate(rows)}
    values = {
        column.name: _as_array([row[4 + index] for row in rows], column)
        for index, column in enumerate(tick_columns)
    }
    for (source, key), columns in source_columns.items():
        found = _read_source(connection, {**plan, "source": key}, columns, position)
        values |= {f"{source}.{name}": array for name, array in found.items()}
    return Series(
        time_ns=np.array([row[2] for row in rows], dtype=np.int64),
        ticks=np.array([row[1] for row in rows], dtype=np.int64),
        num_ticks=np.array([row[3] for row in rows], dtype=np.int64),
        values={name: values[name] for name in names},
    )


def _sort_out(
    connection: sqlite3.Connection, session: int, names: Sequence[str]
) -> tuple[list[Column], dict[tuple[str, int], list[Column]]]:
    """Split names into columns of a tick and columns by (source, its key). Names of sources may have dots."""
    rows = connection.execute("SELECT name, source FROM source_names WHERE session = ?", (session,))
    keys: dict[str, int] = {row["name"]: row["source"] for row in rows}
    ticks: list[Column] = []
    sources: dict[tuple[str, int], list[Column]] = {}
    for name in names:
        source, _, column = name.rpartition(".")
        if not source and column in _TICK:
            ticks.append(_TICK[column])
        elif source in keys and column in _SOURCE:
            sources.setdefault((source, keys[source]), []).append(_SOURCE[column])
        else:
            raise UserError(f"series {name!r} is not in this session: {_hint(name, keys)}")
    return ticks, sources


def _hint(name: str, sources: Iterable[str]) -> str:
    known = [*_TICK, *(f"{source}.{column}" for source in sources for column in _SOURCE)]
    near = difflib.get_close_matches(name, known, n=1)
    nearest = f"did you mean {near[0]}? Or give" if near else "give"
    return f"{nearest} SOURCE.column, or one of the session: {', '.join(_TICK)}"


def _plan(
    connection: sqlite3.Connection, session: int, max_points: int, span_ns: tuple[int, int]
) -> dict[str, int]:
    """The spans of time: `width` in ns; 1 when each stored tick is a point."""
    query = (
        "SELECT COUNT(*), MIN(time_ns), MAX(time_ns) FROM ticks WHERE session = ? AND time_ns BETWEEN ? AND ?"
    )
    num_rows, first_ns, last_ns = connection.execute(query, (session, *span_ns)).fetchone()
    width = 1 if num_rows <= max_points else (last_ns - first_ns) // max_points + 1
    return {"session": session, "first": first_ns or 0, "last": last_ns or 0, "width": width}


def _read_source(
    connection: sqlite3.Connection,
    plan: Mapping[str, int],
    columns: Sequence[Column],
    position: Mapping[int, int],
) -> dict[str, np.ndarray]:
    rows = connection.execute(
        f"SELECT span, MAX(tick){_folded(columns)} FROM"
        " (SELECT sources.*, (ticks.time_ns - :first) / :width AS span FROM sources CROSS JOIN ticks"
        "  ON ticks.session = sources.session AND ticks.tick = sources.tick"
        "  WHERE sources.session = :session AND source = :source AND ticks.time_ns BETWEEN :first AND :last)"
        " GROUP BY span",
        plan,
    ).fetchall()
    aligned: list[list[object]] = [[None] * len(position) for _ in columns]
    for row in rows:
        for index in range(len(columns)):
            aligned[index][position[row[0]]] = row[2 + index]
    return {column.name: _as_array(values, column) for column, values in zip(columns, aligned)}


def _folded(columns: Sequence[Column]) -> str:
    return "".join(f", {column.folded}" for column in columns)


def _as_array(values: list[object], column: Column) -> np.ndarray:
    if column.sql_type == "TEXT":
        return np.array(values, dtype=object)
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)
