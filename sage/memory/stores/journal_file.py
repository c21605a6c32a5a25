"""The journal's SQLite file: its schema, and reading it after a crash.

Invariant: reading never fails because of damage: what is intact is returned, the rest is counted. A file of
another program, or of a newer version, is refused before anything is written. Imports no torch.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from sage.durable import is_running, keep_newest, set_aside_of
from sage.errors import DataError
from sage.memory.stores.journal_pages import PAGE_BYTES, find_rows
from sage.memory.stores.journal_row import ROW_VERSION, StoredRow, encode_stored
from sage.memory.stores.journal_swap import delete_journal, finish, partial_of, present, put_in_place

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
#: Of a statement: the text of an error about a damaged schema may be no UTF-8.
SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
#: A newer version of SQLite's format: it reads the file and refuses to write it.
_WRITE_VERSION = b"\x02"
#: Messages of SQLite for a disk or a file that cannot be used now; all others are damage.
_UNAVAILABLE = (
    "attempt to write a readonly database",
    "database is locked",
    "database or disk is full",
    "disk I/O error",
    "out of memory",
    "unable to open database file",
)
#: A file with a higher number is no newer version's: its header is damaged.
_MAX_VERSION = 63
#: Of a folder with a copy, which a crash may leave.
COPY_PREFIX = ".journal-"
_log = logging.getLogger(__name__)


class JournalUnusable(DataError):
    """The file is not a journal, or of a newer version."""


class JournalNewer(JournalUnusable):
    """The file is of a newer version."""


class JournalNotOpened(DataError):
    """The file cannot be opened or made: a full or read-only disk, or damage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalContents:
    """rows: intact ones, oldest first.  num_damaged: rows that were cut or altered, none of them in `rows`.
    newest_sequence: of any row that was ever in the file.  is_intact: SQLite reads the same rows; numbers may
    be missing.  problem: why SQLite could not be asked, "" when it was; rows that were deleted may then be
    in `rows`.
    """

    rows: tuple[StoredRow, ...] = ()
    num_damaged: int = 0
    newest_sequence: int = 0
    is_intact: bool = True
    problem: str = ""


def open_journal(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode that waits for the disk at every commit; the file is made if missing.

    JournalUnusable for a file of another program or of a newer version. JournalNotOpened when it cannot be
    opened or made.
    """
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            finish(path)
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            stack.callback(connection.close)
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
        except (OSError, *SQLITE_ERRORS) as error:
            raise JournalNotOpened(
                f"{path}: cannot open the memory journal ({error}): move it away, or give a writable"
                " state_dir"
            ) from error
        stack.pop_all()
    return connection


def read_journal(path: Path, *, after: int = 0) -> JournalContents:
    """The rows with a sequence above `after`; none when there is no file. No file is changed. No other
    connection may be open.

    JournalUnusable for a file without a row that is not a journal, and for one of a newer version or with a
    row of one.
    """
    path = present(path)
    if not path.exists():
        return JournalContents()
    found = find_rows(path, after=after)
    if found.newer:
        raise JournalUnusable(
            f"{path}: has rows of a newer version of SAGE, e.g. row {min(found.newer)}: upgrade SAGE, or give"
            " another state directory"
        )
    is_of_journal = bool(found.rows or found.older)
    problem, seen = "", None
    try:
        seen = _see(path, after)
    except JournalNewer:
        raise
    except JournalUnusable:
        if not is_of_journal:
            raise  # else a damaged header: a foreign file has no rows
    except OSError as error:
        problem = str(error)
    pruned_to = 0 if seen is None else seen.pruned_to
    first = max(after, pruned_to)
    rows = tuple(found.rows[sequence] for sequence in sorted(found.rows) if sequence > first)
    unreadable = {sequence for sequence in found.unreadable if sequence > first}
    newest = max(pruned_to, rows[-1].sequence if rows else 0)
    # A row's own number has a checksum, the one in SQLite's tree has none.
    has_numbers = seen is None or seen.newest <= max(newest, after) + seen.num_rows
    if seen is not None and has_numbers:
        newest = max(newest, seen.newest)
    if problem and rows:  # what was deleted is not known
        first = max(first, rows[0].sequence - 1)
    num_missing = max(newest - first, 0) - sum(first < row.sequence for row in rows)
    # A number that is missing is not damage to mend.
    is_equal = seen is not None and seen.is_sound and seen.num_rows == len(rows)
    return JournalContents(
        rows=rows,
        num_damaged=num_missing + sum(not first < sequence <= newest for sequence in unreadable),
        newest_sequence=newest,
        is_intact=((is_equal and has_numbers) or bool(problem)) and not unreadable,
        problem=problem,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What SQLite reads. pruned_to: newest sequence that was deleted.  newest, num_rows: of later rows.
    is_sound: no row that is there is stated to be deleted.
    """

    pruned_to: int = 0
    newest: int = 0
    num_rows: int = 0
    is_sound: bool = True


def _see(path: Path, after: int) -> _Seen | None:
    """None for a file that SQLite cannot read in full, or would not write to. OSError where it could not be
    asked, e.g. without room for a copy. JournalUnusable as read_journal.
    """
    with path.open("rb") as file:
        is_writable = file.read(20)[18:19] <= _WRITE_VERSION
    try:
        with _opened_apart(path) as connection:
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
                return _Seen()  # it was cut while it was made
            _refuse_foreign(connection, path)
            pruned_to = connection.execute("SELECT max(up_to) FROM pruned").fetchone()[0] or 0
            oldest = connection.execute("SELECT min(sequence) FROM rows").fetchone()[0]
            is_sound = oldest is None or pruned_to < oldest
            pruned_to = pruned_to if is_sound else oldest - 1
            query = "SELECT ifnull(max(sequence), 0), count(*) FROM rows WHERE sequence > ?"
            newest, num_rows = connection.execute(query, (max(after, pruned_to),)).fetchone()
            is_whole = connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
    except SQLITE_ERRORS as error:
        if str(error).startswith(_UNAVAILABLE):
            raise OSError(str(error)) from error
        return None
    seen = _Seen(pruned_to=pruned_to, newest=newest, num_rows=num_rows, is_sound=is_sound)
    return seen if is_whole and is_writable else None


@contextmanager
def _opened_apart(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that changes no file of the journal: SQLite deletes a log that it cannot use."""
    log = _log_of(path)
    if not log.exists() or not log.stat().st_size:
        address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
            yield connection
        return
    with _copied(path) as copy, closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        yield connection


@contextmanager
def _copied(path: Path) -> Iterator[Path]:
    """A copy of the file and its log until exit: in the folder for temporary files, or else beside it.

    Copies that killed processes have left are deleted first: they have memories that may be forgotten since.
    """
    for home in (None, path.parent):
        _remove_copies(Path(home or gettempdir()))
        with ExitStack() as stack:
            try:
                prefix = f"{COPY_PREFIX}{os.getpid()}-"
                folder = stack.enter_context(TemporaryDirectory(dir=home, prefix=prefix))
                copy = Path(folder) / path.name
                shutil.copyfile(path, copy)
                shutil.copyfile(_log_of(path), _log_of(copy))
            except OSError:
                if home is None:
                    continue
                raise
            yield copy
            return


def _remove_copies(home: Path) -> None:
    for folder in home.glob(f"{COPY_PREFIX}*-*"):
        pid = folder.name.removeprefix(COPY_PREFIX).partition("-")[0]
        if pid.isdecimal() and not is_running(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def open_repaired(path: Path, contents: JournalContents | None = None) -> sqlite3.Connection:
    """As open_journal. A damaged file is renamed before, and a new one has its intact rows.

    contents: what read_journal has read just now, by default it is read.  JournalNotOpened also when the file
    cannot be checked: SQLite would delete what it cannot use.
    """
    if contents is None or contents.problem:
        contents = read_journal(path)
    if contents.problem:
        raise JournalNotOpened(
            f"{path}: cannot be checked ({contents.problem}): free some space, its rows stay"
        )
    if not contents.is_intact:
        whole = read_journal(path)  # also the rows that the newest snapshot includes
        aside = restart_journal(path, whole.rows, newest_sequence=contents.newest_sequence, keeps_old=True)
        _log.error("%s is damaged: renamed to %s, its %d intact rows are kept", path, aside, len(whole.rows))
        keep_newest(list(set_aside_of(path).values()), _is_damaged)
    return open_journal(path)


def _is_damaged(path: Path) -> bool:
    """Whether its intact rows were written to another file; False for one that was set aside whole."""
    try:
        return not read_journal(path).is_intact
    except JournalUnusable:
        return False


def restart_journal(
    path: Path, rows: tuple[StoredRow, ...] = (), *, newest_sequence: int = 0, keeps_old: bool = False
) -> Path | None:
    """Replace the file by one that holds only `rows`, under their sequences. The old file and its log are
    deleted, or with keeps_old renamed: then their new name is returned.

    newest_sequence: without rows, the last number that was used.  JournalNotOpened on a full or read-only
    disk: the old files are unchanged, or a later call ends what was begun.
    """
    new = partial_of(path)
    try:
        finish(path)
        delete_journal(new)
        with closing(open_journal(new)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            up_to = rows[0].sequence - 1 if rows else newest_sequence
            connection.execute("UPDATE pruned SET up_to = ?", (up_to,))
            connection.executemany(
                "INSERT INTO rows VALUES (?, ?)", ((row.sequence, encode_stored(row)) for row in rows)
            )
            connection.execute("COMMIT")
            if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                raise OSError("the log cannot be merged")
        return put_in_place(path, keeps_old=keeps_old)
    except (OSError, *SQLITE_ERRORS) as error:
        with suppress(OSError):
            delete_journal(new)
        raise JournalNotOpened(
            f"{path}: no new memory journal can be written ({error}): free some space, the old one stays"
        ) from error


def _refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise JournalUnusable(f"{path}: not a memory journal: move it away, or give another state directory")
    if version > ROW_VERSION:
        kind = JournalNewer if version <= _MAX_VERSION else JournalUnusable
        raise kind(
            f"{path}: schema version {version}, this version of SAGE reads up to {ROW_VERSION}: upgrade"
            " SAGE, or give another state directory"
        )
