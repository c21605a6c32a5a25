"""The memory journal: an append-only file of memories, written by a thread that the loop never waits for.

Rows are committed in groups: whatever was appended while the disk wrote the group before. Invariant: a row is
acknowledged only after its commit is on the disk; then kill -9 does not lose it. Bytes in memory and on disk
are bounded: the queue by `max_queued_bytes`, the file by `prune`. Imports no torch.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sage.errors import DataError
from sage.memory.stores.journal_file import (
    SQLITE_ERRORS,
    JournalContents,
    JournalNotOpened,
    open_repaired,
)
from sage.memory.stores.journal_row import JournalRow, encode

#: The write-ahead log is merged into the file and truncated when it has this many bytes.
LOG_BYTES = 1 << 20
#: A commit holds at most this many bytes of rows.
GROUP_BYTES = 4 << 20
#: A file that cannot be opened is read in full at each attempt: so many times as long as after a commit.
_OPEN_EVERY = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalStatistics:
    """num_appended, num_written (acknowledged), num_dropped (no room in the queue): rows since the start.
    num_queued: waiting.  num_groups: commits.  bytes_appended: of all rows since the start.
    """

    num_appended: int
    num_written: int
    num_dropped: int
    num_queued: int
    num_groups: int
    bytes_appended: int


class Journal:
    """Appends rows to the file at `path`, which is made if missing, and repaired if damaged.

    JournalUnusable and JournalNotOpened as open_repaired.
    contents: of the file as it was read just now.  start_after: the highest sequence that is in use
    elsewhere, e.g. in a snapshot.  retry_secs: after a failed commit (a full disk) the group is tried again
    at this interval; its rows stay queued.  may_open_later: a file that cannot be opened is a `problem`; it
    is tried again while rows wait, and start_after must not be below the newest row in it.
    """

    def __init__(
        self,
        path: Path,
        *,
        contents: JournalContents | None = None,
        start_after: int = 0,
        max_queued_bytes: int = 32 << 20,
        retry_secs: float = 1.0,
        may_open_later: bool = False,
    ) -> None:
        self.path = path
        self._problem = ""
        self._last = start_after
        self._connection: sqlite3.Connection | None = None
        try:
            self._connection = open_repaired(path, contents)
            self._last = max(start_after, _newest_in(self._connection))
        except JournalNotOpened as error:
            if not may_open_later:
                raise
            self._problem = str(error)
        self._acknowledged = self._last
        self._max_queued_bytes = max_queued_bytes
        self._retry_secs = retry_secs
        self._changed = threading.Condition()
        self._queue: deque[tuple[int, bytes]] = deque()
        self._queued_bytes = 0
        self._prune_to = 0
        self._is_closing = False
        self._num_appended = self._num_written = self._num_dropped = self._num_groups = 0
        self._bytes_appended = 0
        self._thread = threading.Thread(target=self._write, name="sage-journal", daemon=True)
        self._thread.start()

    @property
    def last_sequence(self) -> int:
        """Of the newest row appended; it may not be acknowledged yet."""
        return self._last

    @property
    def acknowledged(self) -> int:
        """Every row up to this sequence is on the disk."""
        return self._acknowledged

    @property
    def problem(self) -> str:
        """Why the last commit failed, "" after one that succeeded."""
        return self._problem

    def append(self, row: JournalRow) -> int:
        """Copy and queue a row; never waits for the disk. ValueError for scalars that JSON lacks.

        Returns its sequence, 0 when the queue is full: the row is then dropped and counted.
        """
        return self.append_group((row,))

    def append_group(self, rows: Sequence[JournalRow]) -> int:
        """As `append`, of several rows that are written in one commit; returns the sequence of the last."""
        with self._changed:
            group = [(self._last + at, encode(self._last + at, row)) for at, row in enumerate(rows, start=1)]
            num_bytes = sum(len(data) for _, data in group)
            if self._queued_bytes + num_bytes > self._max_queued_bytes or self._is_closing:
                self._num_dropped += len(group)
                return 0
            self._last += len(group)
            self._num_appended += len(group)
            self._bytes_appended += num_bytes
            self._queue.extend(group)
            self._queued_bytes += num_bytes
            self._changed.notify_all()
            return self._last

    def wait(self, sequence: int, timeout_secs: float) -> bool:
        """Whether every row up to `sequence` is acknowledged within `timeout_secs`."""
        with self._changed:
            return self._changed.wait_for(lambda: self._acknowledged >= sequence, timeout_secs)

    def prune(self, up_to: int) -> None:
        """Delete the rows up to this sequence, which a snapshot holds; done by the journal's thread."""
        with self._changed:
            self._prune_to = max(self._prune_to, up_to)
            self._changed.notify_all()

    def statistics(self) -> JournalStatistics:
        with self._changed:
            return JournalStatistics(
                num_appended=self._num_appended,
                num_written=self._num_written,
                num_dropped=self._num_dropped,
                num_queued=len(self._queue),
                num_groups=self._num_groups,
                bytes_appended=self._bytes_appended,
            )

    def close(self) -> None:
        """Write what is queued, with one attempt, and close the file. Idempotent."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join()

    def _write(self) -> None:
        """The journal's thread."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._queue or self._prune_to or self._is_closing))
                group = self._next_group()
                prune_to, self._prune_to = self._prune_to, 0
                is_closing = self._is_closing
            is_written = self._attempt(group, prune_to)
            with self._changed:
                self._note(group, prune_to, is_written)
                if is_closing and (not self._queue or not is_written):
                    break
                if not is_written:
                    is_open = self._connection is not None
                    wait_secs = self._retry_secs if is_open else _OPEN_EVERY * self._retry_secs
                    self._changed.wait_for(lambda: self._is_closing, wait_secs)
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            with suppress(sqlite3.Error):
                self._connection.close()

    def _next_group(self) -> list[tuple[int, bytes]]:
        """The oldest rows of the queue, which they stay in until they are written."""
        group: list[tuple[int, bytes]] = []
        num_bytes = 0
        for sequence, data in self._queue:
            num_bytes += len(data)
            if group and num_bytes > GROUP_BYTES:
                break
            group.append((sequence, data))
        return group

    def _attempt(self, group: list[tuple[int, bytes]], prune_to: int) -> bool:
        try:
            if self._connection is None:
                self._connection = open_repaired(self.path)
            if prune_to:
                self._delete(self._connection, prune_to)
            if group:
                self._commit(self._connection, group)
            self._shorten_log(self._connection)
        except (DataError, *SQLITE_ERRORS, OSError, MemoryError) as error:
            if self._connection is not None:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
            self._problem = str(error) or type(error).__name__
            return False
        self._problem = ""
        return True

    def _commit(self, connection: sqlite3.Connection, group: list[tuple[int, bytes]]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?)", group)
        connection.execute("COMMIT")

    def _delete(self, connection: sqlite3.Connection, up_to: int) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM rows WHERE sequence <= ?", (up_to,))
        connection.execute("UPDATE pruned SET up_to = max(up_to, ?)", (up_to,))
        connection.execute("COMMIT")
        connection.execute("PRAGMA incremental_vacuum").fetchall()

    def _shorten_log(self, connection: sqlite3.Connection) -> None:
        log = self.path.with_name(f"{self.path.name}-wal")
        if log.exists() and log.stat().st_size > LOG_BYTES:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _note(self, group: list[tuple[int, bytes]], prune_to: int, is_written: bool) -> None:
        """After an attempt, with the lock held."""
        if not is_written:
            self._prune_to = max(self._prune_to, prune_to)
            return
        for sequence, data in group:
            self._queue.popleft()
            self._queued_bytes -= len(data)
            self._acknowledged = sequence
        self._num_written += len(group)
        self._num_groups += bool(group)
        self._changed.notify_all()


def _newest_in(connection: sqlite3.Connection) -> int:
    """The highest sequence of any row that was ever in the file."""
    query = "SELECT max((SELECT ifnull(max(sequence), 0) FROM rows), (SELECT max(up_to) FROM pruned))"
    try:
        newest: int = connection.execute(query).fetchone()[0]
    except SQLITE_ERRORS as error:
        connection.close()
        raise JournalNotOpened(f"the memory journal cannot be read ({error}): free some space") from error
    return newest
