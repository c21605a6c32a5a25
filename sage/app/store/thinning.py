"""Bounding the metrics store: old ticks are averaged, older ones deleted, in steps of milliseconds.

Invariant: one step changes a bounded number of rows and commits, so that it never blocks the writer for long.
Age is measured by the session's clock, and after its end as in sage/app/store/ages.py.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import structlog

from sage.app.store.ages import Span, clock_problem, read_spans, times_since
from sage.app.store.page_checks import WRITING
from sage.app.store.schema import ANSWER_COLUMNS, SOURCE_COLUMNS, TICK_COLUMNS, names_of
from sage.errors import InputError

log = structlog.get_logger("sage.app")
SECOND_NS = 1_000_000_000
_WINDOW_BUCKETS = 60
_CHUNK_TICKS = 500
_VACUUM_PAGES = 256
_NAMES = ("source_names", "level_names", "thinning")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Limits of the store. levels: (age_secs, every_secs): rows older than age_secs are averaged to one row
    per every_secs.

    keep_days: older rows are deleted.  max_bytes: above it the oldest rows are deleted.
    max_events: per session; the oldest above it are deleted.
    """

    levels: tuple[tuple[float, float], ...] = ((3600.0, 1.0), (86_400.0, 10.0))
    keep_days: float = 30.0
    max_bytes: int = 2 << 30
    max_events: int = 20_000

    def __post_init__(self) -> None:
        if self.keep_days <= 0 or self.max_bytes < 1 << 20:
            raise InputError(
                f"keep_days {self.keep_days}, max_bytes {self.max_bytes}: give above 0 days, and 1 MiB or"
                " more"
            )
        if list(self.levels) != sorted(self.levels) or any(every <= 0 for _, every in self.levels):
            raise InputError(
                f"levels is {self.levels}: give (age_secs, every_secs) with growing ages, every_secs above 0"
            )


class Thinner:
    """Thins a store in small steps, on the writer's connection."""

    def __init__(self, retention: Retention, wall_ns: Callable[[], int]) -> None:
        self._retention = retention
        self._wall_ns = wall_ns
        self._pending: Iterator[None] = iter(())
        self._is_checked = False
        self._keep_ns = round(retention.keep_days * 86_400 * SECOND_NS)

    def step(self, connection: sqlite3.Connection, active: int | None) -> bool:
        """Do one step and commit. Returns False when a whole round had nothing to do."""
        for _ in self._pending:
            return True
        self._pending = self._round(connection, active)
        for _ in self._pending:
            return True
        return False

    def restart(self) -> None:
        """Abandon the current round: its connection is closed."""
        self._pending = iter(())

    def _round(self, connection: sqlite3.Connection, active: int | None) -> Iterator[None]:
        now_ns = self._wall_ns()
        spans = read_spans(connection, now_ns, active)
        self._check_clock(spans, active)
        for span, since_ns in zip(spans, times_since(spans, now_ns, active), strict=True):
            if span.last_ns is not None:
                yield from self._thin(connection, span.key, span.last_ns + since_ns)
                yield from self._expire(connection, span.key, span.last_ns + since_ns)
            elif since_ns > self._keep_ns:
                _forget_session(connection, span.key)
                yield
            yield from self._cut_events(connection, span.key)
        yield from self._shrink(connection, active)

    def _check_clock(self, spans: list[Span], active: int | None) -> None:
        if not self._is_checked:
            self._is_checked = True
            if problem := clock_problem(spans, active):
                log.warning("metrics store: the wall clock has moved", problem=problem)

    def _thin(self, connection: sqlite3.Connection, session: int, now_ns: int) -> Iterator[None]:
        for level, (age_secs, every_secs) in enumerate(self._retention.levels):
            every_ns = round(every_secs * SECOND_NS)
            until_ns = (now_ns - round(age_secs * SECOND_NS)) // every_ns * every_ns
            while (start_ns := _next_window(connection, session, level, every_ns, until_ns)) is not None:
                end_ns = min(start_ns + _WINDOW_BUCKETS * every_ns, until_ns)
                _average(connection, session, level, start_ns, end_ns, every_ns)
                yield

    def _expire(self, connection: sqlite3.Connection, session: int, now_ns: int) -> Iterator[None]:
        query = (
            "SELECT MAX(tick) FROM (SELECT tick FROM ticks WHERE session = ? AND time_ns < ? ORDER BY time_ns"
            " LIMIT ?)"
        )
        while (tick := _scalar(connection, query, session, now_ns - self._keep_ns, _CHUNK_TICKS)) is not None:
            _delete_up_to(connection, session, tick)
            yield

    def _cut_events(self, connection: sqlite3.Connection, session: int) -> Iterator[None]:
        query = "SELECT id FROM events WHERE session = ? ORDER BY id DESC LIMIT 1 OFFSET ?"
        event = _scalar(connection, query, session, self._retention.max_events)
        if event is not None:
            connection.execute("DELETE FROM events WHERE session = ? AND id <= ?", (session, event))
            yield

    def _shrink(self, connection: sqlite3.Connection, active: int | None) -> Iterator[None]:
        query = "SELECT MAX(tick) FROM (SELECT tick FROM ticks WHERE session = ? ORDER BY tick LIMIT ?)"
        while used_bytes(connection) > self._retention.max_bytes:
            session = _scalar(connection, "SELECT key FROM sessions ORDER BY key = ?, key LIMIT 1", active)
            tick = _scalar(connection, query, session, _CHUNK_TICKS)
            if tick is None and session in (None, active):
                return
            if tick is None:
                _forget_session(connection, session)
            else:
                _delete_up_to(connection, session, tick)
            yield
        while _scalar(connection, "PRAGMA freelist_count") > _VACUUM_PAGES:
            # a script is stepped to its end; `execute` would free a single page
            connection.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
            yield


def used_bytes(connection: sqlite3.Connection) -> int:
    """Bytes of used pages; the file shrinks later."""
    pages = _scalar(connection, "PRAGMA page_count") - _scalar(connection, "PRAGMA freelist_count")
    return int(pages * _scalar(connection, "PRAGMA page_size"))


def _next_window(
    connection: sqlite3.Connection, session: int, level: int, every_ns: int, until_ns: int
) -> int | None:
    """Start of the next rows to average, at the edge of a bucket; None when there are none before
    until_ns.
    """
    done_ns = _scalar(
        connection, "SELECT until_ns FROM thinning WHERE session = ? AND level = ?", session, level
    )
    query = "SELECT MIN(time_ns) FROM ticks WHERE session = ? AND time_ns < ?"
    if done_ns is None:
        first_ns = _scalar(connection, query, session, until_ns)
    else:
        first_ns = _scalar(connection, f"{query} AND time_ns >= ?", session, until_ns, done_ns)
    return None if first_ns is None else int(first_ns // every_ns * every_ns)


def _average(
    connection: sqlite3.Connection, session: int, level: int, start_ns: int, end_ns: int, every_ns: int
) -> None:
    """Fold the ticks of each bucket in [start_ns, end_ns) into its last one, in one transaction.

    `spans` has the first and the last tick of each bucket; the last is the tick of the averaged row.
    """
    window = {"session": session, "start": start_ns, "end": end_ns, "every": every_ns}
    span = "session = :session AND time_ns >= :start AND time_ns < :end"
    with transaction(connection):
        connection.execute("CREATE TEMP TABLE IF NOT EXISTS spans (first_tick INTEGER, last_tick INTEGER)")
        connection.execute("DELETE FROM temp.spans")
        connection.execute(
            f"INSERT INTO temp.spans SELECT MIN(tick), MAX(tick) FROM ticks WHERE {span} GROUP BY time_ns /"
            " :every",
            window,
        )
        low, high = connection.execute("SELECT MIN(first_tick), MAX(last_tick) FROM temp.spans").fetchone()
        for table, keys, columns in (
            ("sources", "session, source", SOURCE_COLUMNS),
            ("answers", "session, level", ANSWER_COLUMNS),
            ("ticks", "session", TICK_COLUMNS),
        ):
            folded = ", ".join(column.folded for column in columns)
            rows = connection.execute(
                f"SELECT {keys}, last_tick, {folded}, MAX(tick) FROM temp.spans CROSS JOIN {table}"
                f" WHERE {_keyed(table)} AND tick BETWEEN first_tick AND last_tick GROUP BY {keys},"
                " last_tick",
                window,
            ).fetchall()
            connection.execute(
                f"DELETE FROM {table} WHERE {_keyed(table)} AND tick BETWEEN :low AND :high",
                {"session": session, "low": low, "high": high},
            )
            width = keys.count(",") + 2 + len(columns)
            connection.executemany(
                f"INSERT INTO {table} ({keys}, tick, {', '.join(names_of(columns))}) VALUES"
                f" ({', '.join('?' * width)})",
                [tuple(row)[:width] for row in rows],
            )
        connection.execute("INSERT OR REPLACE INTO thinning VALUES (?, ?, ?)", (session, level, end_ns))


def _keyed(table: str) -> str:
    """The session's rows, with every column of the primary key before `tick` named, so that the key is
    used.
    """
    names = {"sources": "source", "answers": "level"}.get(table)
    if names is None:
        return "session = :session"
    return f"session = :session AND {names} IN (SELECT {names} FROM {names}_names WHERE session = :session)"


def _delete_up_to(connection: sqlite3.Connection, session: int, tick: int) -> None:
    with transaction(connection):
        for table in ("sources", "answers", "episodes", "boards", "coherence", "sleeps", "ticks"):
            last = "end_tick" if table == "sleeps" else "tick"
            connection.execute(
                f"DELETE FROM {table} WHERE {_keyed(table)} AND {last} <= :tick",
                {"session": session, "tick": tick},
            )


def _forget_session(connection: sqlite3.Connection, session: int) -> None:
    with transaction(connection):
        for table in ("events", "sleeps", "coherence", "episodes", "boards", *_NAMES):
            connection.execute(f"DELETE FROM {table} WHERE session = ?", (session,))
        connection.execute("DELETE FROM sessions WHERE key = ?", (session,))


class transaction:
    """BEGIN IMMEDIATE, then COMMIT; ROLLBACK when the block raises."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        WRITING.acquire()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except BaseException:
            WRITING.release()
            raise

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._connection.execute("COMMIT")
            elif self._connection.in_transaction:  # a full disk may have rolled back already
                self._connection.execute("ROLLBACK")
        finally:
            WRITING.release()


def _scalar(connection: sqlite3.Connection, query: str, *parameters: object) -> Any:
    """The first column of the first row; None when there is no row."""
    row = connection.execute(query, parameters).fetchone()
    return None if row is None else row[0]
