"""The metrics store: every tick, sleep and event of every session, in one SQLite file.

Invariants: a record, never the state of the runtime: deleting it changes no behaviour. One process writes
(WAL, synchronous=NORMAL: a killed process loses at most the current batch), any number of processes read.
Sessions are in the order in which they began, whatever the wall clock was set to.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from sage.app.store.answers import LevelHistory, read_answers
from sage.app.store.board_reader import read_boards
from sage.app.store.boards import Board
from sage.app.store.budget import read_budget
from sage.app.store.episodes import EpisodeHistory, read_episodes
from sage.app.store.names import readable_name
from sage.app.store.rows import (
    read_coherence,
    restore_event,
    restore_sleep,
    restore_source,
    restore_tick,
    source_order,
)
from sage.app.store.schema import close_merged, connect, create_if_missing
from sage.app.store.series import Series, read_series
from sage.app.store.skill import read_skill_table
from sage.app.store.skips import read_skips
from sage.app.store.thinning import Retention, transaction, used_bytes
from sage.app.store.tick_times import read_night_ticks, read_tick_times
from sage.app.store.writer import StoreStatistics, StoreWriter
from sage.app.terminal.budget import BudgetFigures
from sage.app.terminal.errors import UserError
from sage.app.terminal.skill import SkillTable
from sage.app.terminal.skips import SkipFigures
from sage.app.terminal.tick_times import NightTicks
from sage.runtime.coherence.rows import CoherenceRow
from sage.runtime.report import Event, SleepReport, TickReport

__all__ = [
    "LevelHistory",
    "MetricsStore",
    "Retention",
    "Series",
    "SessionRecord",
    "StoreInspection",
    "StoreStatistics",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """One run. started_ns, ended_ns: wall time; ended_ns is None while it runs, or when it was killed.

    clock_ns: the run's own clock at started_ns.  span_ns: from its first stored tick to its last.
    num_dropped: reports that were not stored.  sources: in the order first seen.  temporal: those that are
    not physical.
    """

    id: str
    started_ns: int
    ended_ns: int | None
    clock: str
    clock_ns: int
    seed: int
    config: str
    config_hash: str
    versions: Mapping[str, Any]
    hardware: Mapping[str, Any]
    num_dropped: int
    num_ticks: int
    span_ns: int
    sources: tuple[str, ...]
    temporal: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreInspection:
    """Sizes of a store. num_rows: of ticks, after thinning.  num_ticks: the ticks that they cover."""

    path: str
    num_bytes: int
    num_sessions: int
    num_ticks: int
    num_rows: int
    num_source_rows: int
    num_sleeps: int
    num_events: int


class MetricsStore:
    """A context manager. Raises UserError for a file that is missing, not a store, or of a newer version.

    wall_ns: wall clock for the names and dates of sessions.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        must_exist: bool = False,
        retention: Retention | None = None,
        wall_ns: Callable[[], int] = time.time_ns,
        capacity: int = 4096,
        flush_secs: float = 0.25,
    ) -> None:
        self.path = Path(path)
        self._retention = retention or Retention()
        self._wall_ns = wall_ns
        self._capacity = capacity
        self._flush_secs = flush_secs
        self._writers: dict[str, StoreWriter] = {}
        if must_exist and not self.path.exists():
            raise UserError(
                f"{self.path}: no session is stored here: start one with `sage run`, or give another"
                " state directory"
            )
        create_if_missing(self.path)
        connect(self.path, is_reader=True).close()

    def __enter__(self) -> MetricsStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is queued and end the sessions begun here. Idempotent."""
        while self._writers:
            self._writers.popitem()[1].close()

    def begin_session(
        self,
        *,
        config: str = "",
        config_hash: str = "",
        versions: Mapping[str, Any] | None = None,
        hardware: Mapping[str, Any] | None = None,
        seed: int = 0,
        clock: str = "real",
        clock_ns: int = 0,
        name: str | None = None,
        temporal: Sequence[str] = (),
    ) -> str:
        """Add a session and return its id, readable and unique. config: the effective one, as YAML.
        temporal: names of its sources that are not physical.
        """
        started_ns = self._wall_ns()
        wanted = name or readable_name(started_ns, f"{config_hash}/{seed}")
        with self._connected(is_reader=False) as connection, transaction(connection):
            taken = {row["id"] for row in connection.execute("SELECT id FROM sessions")}
            session = next(name for name in _candidates(wanted) if name not in taken)
            connection.execute(
                "INSERT INTO sessions (id, started_ns, clock, clock_ns, seed, config, config_hash, versions,"
                " hardware, temporal) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    session,
                    started_ns,
                    clock,
                    clock_ns,
                    seed,
                    config,
                    config_hash,
                    json.dumps(dict(versions or {}), default=str),
                    json.dumps(dict(hardware or {}), default=str),
                    json.dumps(list(temporal)),
                ),
            )
        return session

    def instrument(self, session: str) -> StoreWriter:
        """The Instrument that writes this session until the store closes."""
        if session not in self._writers:
            with self._connected() as connection:
                key = _session_row(connection, self.path, session)["key"]
            writer = StoreWriter(
                self.path,
                key,
                retention=self._retention,
                wall_ns=self._wall_ns,
                capacity=self._capacity,
                flush_secs=self._flush_secs,
            )
            writer.start()
            self._writers[session] = writer
        return self._writers[session]

    def sessions(self) -> tuple[SessionRecord, ...]:
        """All sessions, oldest first."""
        with self._connected() as connection:
            rows = connection.execute("SELECT * FROM sessions ORDER BY key").fetchall()
            return tuple(_session_record(connection, row) for row in rows)

    def session(self, session: str | None = None) -> SessionRecord:
        """One session by its id or a unique start of it, the latest when None. Raises UserError."""
        with self._connected() as connection:
            return _session_record(connection, _session_row(connection, self.path, session))

    def series(
        self,
        session: str,
        names: Sequence[str],
        max_points: int = 1500,
        *,
        span_ns: tuple[int, int] | None = None,
    ) -> Series:
        """Columns over time, averaged down to at most `max_points` on one time axis; NaN without a value.

        names: columns of a tick ("coherence", "total_ns") or of a source ("imu.trust"); see store/schema.py.
        span_ns: from and to, both included, on the run's clock; None: the whole session.
        """
        with self._connected() as connection:
            key = _session_row(connection, self.path, session)["key"]
            return read_series(connection, key, names, max_points, span_ns)

    def tick(self, session: str, tick: int) -> TickReport | None:
        """The report of a tick, or None when it is not stored or part of an average."""
        with self._connected() as connection:
            key = _session_row(connection, self.path, session)["key"]
            row = connection.execute(
                "SELECT * FROM ticks WHERE session = ? AND tick = ?", (key, tick)
            ).fetchone()
            if row is None or row["rest"] is None:
                return None
            query = (
                "SELECT * FROM sources NATURAL JOIN source_names WHERE session = ? AND source = ? AND"
                " tick = ?"
            )
            found = [
                connection.execute(query, (key, source, tick)).fetchone()
                for source in source_order(row["rest"])
            ]
            return restore_tick(row, [restore_source(source["name"], source) for source in found])

    def sleeps(self, session: str) -> tuple[SleepReport, ...]:
        with self._connected() as connection:
            key = _session_row(connection, self.path, session)["key"]
            rows = connection.execute("SELECT * FROM sleeps WHERE session = ? ORDER BY id", (key,))
            return tuple(restore_sleep(row) for row in rows)

    def answers(self, session: str) -> tuple[LevelHistory, ...]:
        """The answers of the session's puzzle streams, by level; empty without a stream."""
        with self._connected() as connection:
            return read_answers(connection, _session_row(connection, self.path, session)["key"])

    def episodes(self, session: str) -> tuple[EpisodeHistory, ...]:
        """The episodes of the worlds that the session acted in; empty without one."""
        with self._connected() as connection:
            return read_episodes(connection, _session_row(connection, self.path, session)["key"])

    def boards(self, session: str) -> tuple[Board, ...]:
        """The last puzzles in hand, with their answers as they formed; empty without a puzzle stream."""
        with self._connected() as connection:
            return read_boards(connection, _session_row(connection, self.path, session)["key"])

    def skips(self, session: str) -> tuple[SkipFigures, ...]:
        with self._connected() as connection:
            return read_skips(connection, _session_row(connection, self.path, session)["key"]).figures()

    def budget(self, session: str) -> BudgetFigures:
        with self._connected() as connection:
            return read_budget(connection, _session_row(connection, self.path, session)["key"])

    def tick_times(self, session: str, limit: int) -> list[int]:
        """As read_tick_times."""
        with self._connected() as connection:
            return read_tick_times(connection, _session_row(connection, self.path, session)["key"], limit)

    def night_ticks(self, session: str) -> NightTicks:
        with self._connected() as connection:
            return read_night_ticks(connection, _session_row(connection, self.path, session)["key"])

    def coherence(self, session: str) -> tuple[CoherenceRow, ...]:
        """The figures of every window, oldest first, then by metric and modules; empty without a window."""
        with self._connected() as connection:
            return read_coherence(connection, _session_row(connection, self.path, session)["key"])

    def sleep_ends(self, session: str) -> tuple[int, ...]:
        """The last tick of each sleep, in the order of `sleeps`."""
        with self._connected() as connection:
            key = _session_row(connection, self.path, session)["key"]
            rows = connection.execute("SELECT end_tick FROM sleeps WHERE session = ? ORDER BY id", (key,))
            return tuple(row["end_tick"] for row in rows)

    def skill_table(self, session: str) -> SkillTable:
        """Sums of the session's prediction errors; its figures equal those of the session's summary."""
        with self._connected() as connection:
            return read_skill_table(connection, _session_row(connection, self.path, session)["key"])

    def events(self, session: str, limit: int = 1000) -> tuple[Event, ...]:
        """The newest `limit` events, oldest first."""
        with self._connected() as connection:
            key = _session_row(connection, self.path, session)["key"]
            rows = connection.execute(
                "SELECT * FROM events WHERE session = ? ORDER BY id DESC LIMIT ?", (key, limit)
            )
            return tuple(restore_event(row) for row in rows)[::-1]

    def first_difference(self, session: str, other: str) -> int | None:
        """The first tick whose facts differ between two sessions; None when all common ticks are equal."""
        with self._connected() as connection:
            keys = [_session_row(connection, self.path, name)["key"] for name in (session, other)]
            query = (
                "SELECT MIN(a.tick) FROM ticks a JOIN ticks b ON b.session = ? AND b.tick = a.tick"
                " WHERE a.session = ? AND a.digest <> b.digest"
            )
            (tick,) = connection.execute(query, keys[::-1]).fetchone()
            return None if tick is None else int(tick)

    def inspect(self) -> StoreInspection:
        tables = {"num_sessions": "sessions", "num_rows": "ticks", "num_source_rows": "sources"}
        tables |= {"num_sleeps": "sleeps", "num_events": "events"}
        with self._connected() as connection:
            counts = {
                name: connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
                for name, table in tables.items()
            }
            (num_ticks,) = connection.execute("SELECT COALESCE(SUM(num_ticks), 0) FROM ticks").fetchone()
            return StoreInspection(
                path=str(self.path), num_bytes=used_bytes(connection), num_ticks=num_ticks, **counts
            )

    @contextmanager
    def _connected(self, *, is_reader: bool = True) -> Iterator[sqlite3.Connection]:
        """A connection for one query. Raises UserError, naming the file, for SQLite's errors."""
        connection = connect(self.path, is_reader=is_reader)
        try:
            yield connection
        except sqlite3.Error as error:
            raise UserError(
                f"{self.path}: the metrics store failed ({error}): free disk space, or move the file away"
            ) from error
        finally:
            if is_reader:
                connection.close()
            else:
                close_merged(connection, self.path)


def _candidates(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}-{number}" for number in count(2))


def _session_row(connection: sqlite3.Connection, path: Path, session: str | None) -> sqlite3.Row:
    if session is None:
        row = connection.execute("SELECT * FROM sessions ORDER BY key DESC LIMIT 1").fetchone()
    else:
        row = connection.execute("SELECT * FROM sessions WHERE id = ?", (session,)).fetchone()
    if row is not None:
        found: sqlite3.Row = row
        return found
    if session is None:
        raise UserError(f"{path}: no session is stored here: start one with `sage run`")
    return _session_by_prefix(connection, path, session)


def _session_by_prefix(connection: sqlite3.Connection, path: Path, start: str) -> sqlite3.Row:
    """The session whose id starts with `start`. Raises UserError unless there is exactly one."""
    rows = connection.execute("SELECT * FROM sessions ORDER BY key DESC").fetchall()
    matches: list[sqlite3.Row] = [row for row in rows if start and row["id"].startswith(start)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UserError(
            f"session {start!r} matches {', '.join(row['id'] for row in matches[:5])}: give more letters"
        )
    latest = ", ".join(row["id"] for row in rows[:5]) or "none"
    raise UserError(f"session {start!r} is not in {path}: the latest are {latest}")


def _session_record(connection: sqlite3.Connection, row: sqlite3.Row) -> SessionRecord:
    span = (
        "SELECT COALESCE(SUM(num_ticks), 0), COALESCE(MAX(time_ns) - MIN(time_ns), 0) FROM ticks WHERE"
        " session = ?"
    )
    num_ticks, span_ns = connection.execute(span, (row["key"],)).fetchone()
    names = connection.execute(
        "SELECT name FROM source_names WHERE session = ? ORDER BY source", (row["key"],)
    )
    names_of_columns = "id started_ns ended_ns clock clock_ns seed config config_hash num_dropped"
    plain = {name: row[name] for name in names_of_columns.split()}
    return SessionRecord(
        **plain,
        versions=json.loads(row["versions"]),
        hardware=json.loads(row["hardware"]),
        num_ticks=num_ticks,
        span_ns=span_ns,
        sources=tuple(name["name"] for name in names),
        temporal=tuple(json.loads(row["temporal"])),
    )
