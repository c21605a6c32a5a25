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

from sage.app.store.batch import INSERT_EVENT, BatchRows, Item, num_rows_of
from sage.app.store.page_checks import log_bytes, merge
from sage.app.store.rows import event_row
from sage.app.store.schema import close_merged, connect
from sage.app.store.thinning import Retention, Thinner, transaction
from sage.runtime.coherence.rows import CoherenceRow
from sage.runtime.report import Event, SleepReport, TickReport

#: Of a batch: with hundreds of sources a commit takes a fraction of a second too, and what it holds stays.
_MAX_BATCH, _MAX_ROWS = 1024, 4096
#: The write-ahead log is merged into the file when it has this many bytes.
_LOG_BYTES = 4 << 20
_MAX_RETRY_SECS = 5.0
#: Between two rounds of thinning that had nothing to do, and after one that failed.
_THIN_SECS = 5.0
#: Queue space reserved for sleeps and events, which are rare.
_RESERVE = 256
#: `close` takes no longer, whatever was put.
_MAX_CLOSE_SECS = 30.0


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
        self._retry_until = 0.0
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
        """Write what is queued, set the end of the session, stop. Returns after `timeout_secs` without a
        commit, e.g. when writing fails.
        """
        start = time.monotonic()
        self._retry_until = start + timeout_secs
        self._is_closing = True
        self._wake.set()
        num_before = -1
        while num_before != (num := self._num_written + self._num_unstorable) and self._thread.is_alive():
            num_before = num
            left = start + _MAX_CLOSE_SECS - time.monotonic()
            self._thread.join(max(0.0, min(timeout_secs, left)))

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
            is_last = self._is_closing  # read before draining: what was put before close() is in the batch
            self._fill(batch)
            try:
                self._write(batch, is_last and self._queue.empty())
            except Exception as error:  # the top of a worker: counted, shown, retried
                self._num_failed_writes += 1
                self._problem = str(error) or type(error).__name__
                self._disconnect()
                retry_secs = min(2 * retry_secs, _MAX_RETRY_SECS)
                if is_last and ("locked" not in self._problem or time.monotonic() > self._retry_until):
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

    def _fill(self, batch: list[Item]) -> None:
        num_rows = sum(map(num_rows_of, batch))
        while len(batch) < _MAX_BATCH and num_rows < _MAX_ROWS and not self._queue.empty():
            batch.append(self._queue.get_nowait())
            self._num_in_hand = len(batch)
            num_rows += num_rows_of(batch[-1])

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

    def _rows(self, batch: list[Item]) -> BatchRows:
        rows = BatchRows(self._session, self._source_ids, self._level_ids, self._last_tick)
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
            INSERT_EVENT, event_row(self._session, Event(kind="store", tick=tick, message=message))
        )
        connection.execute(
            "UPDATE sessions SET num_dropped = num_dropped + ? WHERE key = ?", (num_new, self._session)
        )

    def _count_flush(self) -> None:
        with self._idle:
            self._num_flushes += 1
            self._idle.notify_all()
