"""The journal's SQLite file: its schema, and reading it after a crash.

Invariant: reading never fails because of damage: what is intact is returned, the rest is counted. A file of
another program, or of a newer version, is refused before anything is written. Imports no torch.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sage.durable import set_aside
from sage.errors import DataError
from sage.memory.stores.journal_pages import PAGE_BYTES, find_rows
from sage.memory.stores.journal_row import ROW_VERSION, StoredRow, encode_stored

APPLICATION_ID = 0x53414A52  # "SAJR"
_CREATE = f"""
BEGIN IMMEDIATE;
CREATE TABLE rows (sequence INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE pruned (up_to INTEGER NOT NULL);
INSERT INTO pruned VALUES (0);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {ROW_VERSION};
COMMIT;
"""


class JournalUnusable(DataError):
    """The file is not a journal, or of a newer version."""


class JournalNotOpened(DataError):
    """The file cannot be opened or made: a full or read-only disk, or damage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalContents:
    """rows: intact ones, oldest first.  num_damaged: rows that were cut or altered, none of them in `rows`.
    newest_sequence: of any row that was ever in the file.  is_intact: SQLite reads the same rows.
    """

    rows: tuple[StoredRow, ...] = ()
    num_damaged: int = 0
    newest_sequence: int = 0
    is_intact: bool = True


def open_journal(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode that waits for the disk at every commit; the file is made if missing.

    JournalUnusable for a file of another program or of a newer version. JournalNotOpened when it cannot be
    opened or made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA secure_delete = ON")
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_CREATE)
        _refuse_foreign(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")  # the writer truncates the log instead
    except (OSError, sqlite3.Error) as error:
        raise JournalNotOpened(
            f"{path}: cannot open the memory journal ({error}): move it away, or give a writable state_dir"
        ) from error
    return connection


def read_journal(path: Path, *, after: int = 0) -> JournalContents:
    """The rows with a sequence above `after`; none when there is no file. No other connection may be open.

    JournalUnusable for a file without a row that is not a journal, or of a newer version.
    """
    if not path.exists():
        return JournalContents()
    # Before SQLite opens the file: it deletes a log that it cannot use.
    found = find_rows(path, after=after)
    pruned_to, newest, is_intact = 0, 0, True
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            try:
                _refuse_foreign(connection, path)
            except JournalUnusable:
                if not found.rows:
                    raise
                is_intact = False  # a damaged header: a foreign file has no rows
            pruned_to = connection.execute("SELECT max(up_to) FROM pruned").fetchone()[0] or 0
            query = "SELECT ifnull(max(sequence), 0), count(*) FROM rows WHERE sequence > ?"
            newest, num_rows = connection.execute(query, (max(after, pruned_to),)).fetchone()
    except sqlite3.DatabaseError:
        is_intact, num_rows = False, 0  # the rows are found without SQLite
    first = max(after, pruned_to)
    rows = tuple(found.rows[sequence] for sequence in sorted(found.rows) if sequence > first)
    newest = max(newest, pruned_to, rows[-1].sequence if rows else 0)
    missing = {*range(first + 1, newest + 1), *(n for n in found.unreadable if n > first)} - found.rows.keys()
    return JournalContents(
        rows=rows,
        num_damaged=len(missing),
        newest_sequence=newest,
        is_intact=is_intact and not missing and num_rows == len(rows),
    )


def restart_journal(path: Path, rows: tuple[StoredRow, ...] = ()) -> None:
    """Replace the file by one that holds only `rows`, under their sequences. The old file is deleted."""
    new = path.with_name(f".{path.name}.new")
    delete_journal(new)
    with closing(open_journal(new)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE pruned SET up_to = ?", (rows[0].sequence - 1 if rows else 0,))
        connection.executemany(
            "INSERT INTO rows VALUES (?, ?)", ((row.sequence, encode_stored(row)) for row in rows)
        )
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    delete_journal(path)
    new.replace(path)


def set_journal_aside(path: Path) -> Path:
    """Rename a damaged journal to NAME.damaged; its write-ahead log is deleted."""
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return set_aside(path)


def delete_journal(path: Path) -> None:
    """Delete the file and its write-ahead log."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise JournalUnusable(f"{path}: not a memory journal: move it away, or give another state directory")
    if version > ROW_VERSION:
        raise JournalUnusable(
            f"{path}: schema version {version}, this version of SAGE reads up to {ROW_VERSION}: upgrade"
            " SAGE, or give another state directory"
        )
