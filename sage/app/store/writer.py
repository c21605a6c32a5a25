"""The thread that writes the metrics store.

Invariant: `put` never waits. Reports that do not fit the bounded queue are counted, and the count is shown
and stored. On a full disk or a locked file the batch stays queued and is written again; the loop is not
affected.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from sage.app.store.boards import board_rows, insert_boards
from sage.app.store.episodes import INSERT_EPISODE, episode_row
from sage.app.store.page_checks import log_bytes, merge
from sage.app.store.rows import answer_rows, coherence_row, event_row, sleep_row, source_row, tick_row
from sage.app.store.schema import (
    ANSWER_COLUMNS,
    SLEEP_COLUMNS,
    SOURCE_COLUMNS,
    TICK_COLUMNS,
    close_merged,
    connect,
    insert_into,
)
from sage.app.store.thinning import Retention, Thinner, transaction
from sage.runtime.coherence.rows import CoherenceRow
from sage.runtime.report import Event, SleepReport, TickReport

Item = TickReport | SleepReport | Event | tuple[CoherenceRow, ...]

_INSERT_TICK = insert_into("ticks", ("session", "tick"), TICK_COLUMNS)
_INSERT_SOURCE = insert_into("sources", ("session", "source", "tick"), SOURCE_COLUMNS)
_INSERT_ANSWERS = insert_into("answers", ("session", "level", "tick"), ANSWER_COLUMNS)
_INSERT_SLEEP = insert_into("sleeps", ("session", "end_tick"), SLEEP_COLUMNS)
_INSERT_EVENT = (
    "INSERT OR IGNORE INTO events (session, tick, kind, source, message, data, fingerprint) VALUES (?, ?, ?,"
    " ?, ?, ?, ?)"
)
_INSERT_COHERENCE = "INSERT OR REPLACE INTO coherence VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_MAX_BATCH = 1024
#: The write-ahead log is merged into the file when it has this many bytes.
_LOG_BYTES = 4 << 20
_MAX_RETRY_SECS = 5.0
#: Between two rounds of thinning that had nothing to do, and after one that failed.
_THIN_SECS = 5.0
#: Queue space reserved for sleeps and events, which are rare.
_RESERVE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatistics:
    """num_dropped: reports dropped because the queue was full.  num_unstorable: reports that fit no row.
    num_failed_writes: batches that were written again.  num_queued: not written yet.  problem: why the last
    write failed, "" when it did not.  thinning_problem: why old rows are not averaged or deleted, "" when
    they are.
    """

    num_written: int
    num_dropped: int
    num_unstorable: int
    num_failed_writes: int
    num_queued: int
    problem: str
    thinning_problem: str = ""


class StoreWriter:
    """An Instrument: queues reports on the loop's thread, writes them in batches on its own."""

    def __init__(
        self,
        path: Path,
        session: int,
        *,
        retention: Retention,
        wall_ns: Callable[[], int],
        capacity: int,
        flush_secs: float,
    ) -> None:
        self._path = path
        self._session = session
        self._wall_ns = wall_ns
        self._thinner = Thinner(retention, wall_ns)
        self._capacity = capacity
        self._flush_secs = flush_secs
        self._queue: SimpleQueue[Item] = SimpleQueue()
        self._source_ids: dict[str, int] = {}
        self._level_ids: dict[tuple[str, str], int] = {}
        self._last_tick = 0
        self._num_written = 0
        self._num_dropped = 0
        self._num_unstorable = 0
        self._num_failed_writes = 0
        self._num_reported_drops = 0
        self._num_in_hand = 0  # taken from the queue, and not written yet
        self._problem = ""
        self._thinning_problem = ""
        self._thin_at = 0.0  # on the monotonic clock
        self._refusal = ""
        self._connection: sqlite3.Connection | None = None
        self._is_closing = False
        self._wake = threading.Event()
        self._idle = threading.Condition()
        self._num_flushes = 0
        self._thread = threading.Thread(target=self._run, name="sage-store", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def on_tick(self, report: TickReport) -> None:
        self.put(report)

    def on_sleep(self, report: SleepReport) -> None:
        self.put(report)

    def on_event(self, event: Event) -> None:
        self.put(event)

    def on_coherence(self, rows: tuple[CoherenceRow, ...]) -> None:
        self.put(rows)

    def put(self, item: Item) -> None:
        """Queue `item`, or count it as dropped. Never waits, never raises."""
        num_queued = self._queue.qsize()
        is_tick = isinstance(item, TickReport)
        if num_queued >= (self._capacity if is_tick else self._capacity + _RESERVE):
            self._num_dropped += 1
            return
        self._queue.put(item)
        if num_queued == self._capacity // 2:  # a burst is written before the next flush
            self._wake.set()

    def flush(self, timeout_secs: float = 5.0) -> bool:
        """Wait until everything queued before is written. Returns False after `timeout_secs`."""
        with self._idle:
            # The current round may have drained the queue already; the next one covers everything queued.
            target = self._num_flushes + 2
            self._wake.set()
            return self._idle.wait_for(
                lambda: self._num_flushes >= target or not self._thread.is_alive(), timeout_secs
            )

    def close(self, timeout_secs: float = 5.0) -> None:
        """Write what is queued, set the end of the session, stop. Returns after `timeout_secs` when writing
        fails.
        """
        self._is_closing = True
        self._wake.set()
        self._thread.join(timeout_secs)

    def statistics(self) -> StoreStatistics:
        return StoreStatistics(
            num_written=self._num_written, num_dropped=self._num_dropped, num_unstorable=self._num_unstorable,
            num_failed_writes=self._num_failed_writes, num_queued=self._queue.qsize() + self._num_in_hand,
            problem=self._problem, thinning_problem=self._thinning_problem,
        )  # fmt: skip

    def problem(self) -> str:
        """Why the last write failed, "" where it did not."""
        return self._problem

    def refuse(self, reason: str) -> None:
        """Make writes fail with a reason, as on a full disk; "" ends that. Batches stay queued, as in any
        failure.
        """
        self._refusal = reason
        self._wake.set()

    def notices(self) -> tuple[str, ...]:
        """Problems to show in the live view; empty without any."""
        statistics = self.statistics()
        lost = statistics.num_dropped + statistics.num_unstorable
        notices = (
            f"store: {lost:,} reports not stored" if lost else "",
            f"store: {statistics.problem}" if statistics.problem else "",
            f"store: old rows are not thinned: {statistics.thinning_problem}"
            if statistics.thinning_problem
            else "",
        )
        return tuple(notice for notice in notices if notice)

    def _run(self) -> None:
        """The worker. Its errors are in `statistics` and never reach the loop."""
        batch: list[Item] = []
        retry_secs = self._flush_secs
        while True:
            is_last = (
                self._is_closing
            )  # read before draining: what was put before close() is then in the batch
            while len(batch) < _MAX_BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
                self._num_in_hand = len(batch)
            try:
                self._write(batch, is_last and self._queue.empty())
            except Exception as error:  # the top of a worker: counted, shown, retried
                self._num_failed_writes += 1
                self._problem = str(error) or type(error).__name__
                self._disconnect()
                retry_secs = min(2 * retry_secs, _MAX_RETRY_SECS)
                if is_last:
                    break
            else:
                batch.clear()
                self._num_in_hand = 0
                self._problem = ""
                retry_secs = self._flush_secs
                if not is_last:
                    self._thin()
                self._merge()
                if self._queue.empty():
                    self._count_flush()
                    if is_last:
                        break
            if self._problem or self._queue.empty():
                self._wake.wait(retry_secs)
                self._wake.clear()
        self._disconnect()
        self._count_flush()

    def _write(self, batch: list[Item], is_last: bool) -> None:
        if self._refusal:
            raise OSError(self._refusal)
        if self._connection is None:
            self._connection = connect(self._path, timeout_secs=1.0)
        rows = self._rows(batch)
        with transaction(self._connection):
            rows.insert(self._connection)
            num_drops = self._num_dropped - self._num_reported_drops  # all until the lock was free
            self._note_drops(self._connection, rows.last_tick, num_drops)
            if is_last:
                self._connection.execute(
                    "UPDATE sessions SET ended_ns = ? WHERE key = ?", (self._wall_ns(), self._session)
                )
        self._num_reported_drops += num_drops
        self._num_written += len(batch) - rows.num_unstorable
        self._num_unstorable += rows.num_unstorable
        self._source_ids.update(rows.new_sources)
        self._level_ids.update(rows.new_levels)
        self._last_tick = rows.last_tick

    def _merge(self) -> None:
        if self._connection is None:
            return
        with suppress(sqlite3.Error, OSError):  # the rows are stored: a full disk is tried again
            if log_bytes(self._path) > _LOG_BYTES:
                merge(self._connection, self._path)

    def _disconnect(self) -> None:
        """Close the connection; the next write opens a new one."""
        if self._connection is not None:
            close_merged(self._connection, self._path)
            self._connection = None
            self._thinner.restart()

    def _rows(self, batch: list[Item]) -> _Rows:
        rows = _Rows(self._session, self._source_ids, self._level_ids, self._last_tick)
        for item in batch:
            rows.add(item)
        return rows

    def _thin(self) -> None:
        """Thin old rows, one step at a time, while the queue is empty. A failure is shown and tried again
        later: what was put is stored already.
        """
        if self._connection is None or time.monotonic() < self._thin_at:
            return
        try:
            while self._thinner.step(self._connection, self._session):
                if self._is_closing or not self._queue.empty():
                    return
            self._thinning_problem = ""
        except Exception as error:  # as at the top of the worker: shown, and tried again
            self._thinning_problem = str(error) or type(error).__name__
            self._thinner.restart()
        self._thin_at = time.monotonic() + _THIN_SECS

    def _note_drops(self, connection: sqlite3.Connection, tick: int, num_new: int) -> None:
        """Store drops as an event, so that a gap in a plot has its reason beside it."""
        if num_new == 0:
            return
        message = f"{num_new} reports dropped" + (
            f": {self._problem}" if self._problem else ": the queue was full"
        )
        connection.execute(
            _INSERT_EVENT, event_row(self._session, Event(kind="store", tick=tick, message=message))
        )
        connection.execute(
            "UPDATE sessions SET num_dropped = num_dropped + ? WHERE key = ?", (num_new, self._session)
        )

    def _count_flush(self) -> None:
        with self._idle:
            self._num_flushes += 1
            self._idle.notify_all()


class _Rows:
    """A batch as rows. An item that fits no row is counted and left out; the others are written."""

    def __init__(
        self,
        session: int,
        source_ids: dict[str, int],
        level_ids: dict[tuple[str, str], int],
        last_tick: int,
    ) -> None:
        self._session = session
        self._known = source_ids
        self._known_levels = level_ids
        self.new_sources: dict[str, int] = {}
        self.new_levels: dict[tuple[str, str], int] = {}
        self.num_unstorable = 0
        self.last_tick = last_tick
        self._ticks: list[tuple[object, ...]] = []
        self._sources: list[tuple[object, ...]] = []
        self._answers: list[tuple[object, ...]] = []
        self._sleeps: list[tuple[object, ...]] = []
        self._events: list[tuple[object, ...]] = []
        self._coherence: list[tuple[object, ...]] = []
        self._episodes: list[tuple[object, ...]] = []
        self._boards: list[tuple[object, ...]] = []

    def add(self, item: Item) -> None:
        try:
            if isinstance(item, TickReport):
                self._add_tick(item)
            elif isinstance(item, SleepReport):
                self._sleeps.append(sleep_row(self._session, self.last_tick, item))
            elif isinstance(item, tuple):
                self._coherence += [coherence_row(self._session, row) for row in item]
            else:
                self._events.append(event_row(self._session, item))
        except (TypeError, ValueError, OverflowError):
            self.num_unstorable += 1

    def insert(self, connection: sqlite3.Connection) -> None:
        names = [(self._session, number, name) for name, number in self.new_sources.items()]
        connection.executemany("INSERT OR REPLACE INTO source_names VALUES (?, ?, ?)", names)
        levels = [(self._session, number, *key) for key, number in self.new_levels.items()]
        connection.executemany("INSERT OR REPLACE INTO level_names VALUES (?, ?, ?, ?)", levels)
        connection.executemany(_INSERT_TICK, self._ticks)
        connection.executemany(_INSERT_SOURCE, self._sources)
        connection.executemany(_INSERT_ANSWERS, self._answers)
        connection.executemany(_INSERT_SLEEP, self._sleeps)
        connection.executemany(_INSERT_EVENT, self._events)
        connection.executemany(_INSERT_COHERENCE, self._coherence)
        connection.executemany(INSERT_EPISODE, self._episodes)
        insert_boards(connection, self._boards)

    def _add_tick(self, report: TickReport) -> None:
        facts = report.facts
        order = [self._source_id(source.name) for source in facts.sources]
        tick = tick_row(self._session, report, order)
        sources = [
            source_row(self._session, number, facts.tick, source)
            for number, source in zip(order, facts.sources)
        ]
        answers = [
            row
            for solving in facts.solving
            for row in answer_rows(
                self._session,
                [self._level_id(solving.stream, level.name) for level in solving.levels],
                facts.tick,
                solving,
            )
        ]
        events = [event_row(self._session, event) for event in facts.events]
        ended = [episode_row(self._session, facts.tick, world) for world in facts.acting]
        boards = [row for each in facts.solving for row in board_rows(self._session, facts.tick, each)]
        self._ticks.append(tick)
        self._sources += sources
        self._answers += answers
        self._episodes += [row for row in ended if row is not None]
        self._boards += boards
        self._events += events
        self.last_tick = facts.tick

    def _source_id(self, name: str) -> int:
        if name in self._known:
            return self._known[name]
        return self.new_sources.setdefault(name, len(self._known) + len(self.new_sources))

    def _level_id(self, stream: str, level: str) -> int:
        key = (stream, level)
        if key in self._known_levels:
            return self._known_levels[key]
        return self.new_levels.setdefault(key, len(self._known_levels) + len(self.new_levels))
