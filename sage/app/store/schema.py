"""The tables of the metrics store: each column with its type and its rule for averaging rows.

Invariant: a file of another program, or of a newer SAGE, is refused before anything is written to it.
A row covers `num_ticks` ticks: 1, or more once it is averaged because of its age.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from sage.app.store.boards import BOARD_TABLE
from sage.app.store.episodes import EPISODE_TABLE
from sage.app.store.page_checks import merge
from sage.app.terminal.errors import UserError
from sage.plain_yaml import load_plain

SCHEMA_VERSION = 7
#: A store with a higher number is no newer version's: its header is damaged.
_MAX_VERSION = 63
APPLICATION_ID = 0x53414745  # "SAGE"

#: How a column folds when rows become one. last: of the newest row.  mean: weighted by num_ticks, NULLs left
#: out. sum: NULLs left out.  scored: a sum over rows with a finite error and persistence error, so that
#: ratios stay honest; infinities left out.  drop: NULL from then on.
Fold = Literal["last", "mean", "sum", "scored", "drop"]


def is_finite(column: str) -> str:
    """The SQL condition that a number of 0 or more is neither NULL nor infinite."""
    return f"{column} < 9e999"


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    sql_type: str
    fold: Fold

    @property
    def folded(self) -> str:
        """The SQL expression of this column over a group that also selects MAX(tick) once."""
        match self.fold:
            case "last":  # SQLite: beside a single MAX(), a bare column comes from the row of the maximum
                return self.name
            case "mean":
                return f"SUM({self.name} * num_ticks) / SUM(num_ticks) FILTER (WHERE {self.name} IS NOT NULL)"
            case "sum":
                return f"SUM({self.name})"
            case "scored":
                return f"SUM({self.name}) FILTER (WHERE num_scored > 0 AND {is_finite(self.name)})"
            case "drop":
                return "NULL"


def _columns(sql_type: str, fold: Fold, names: str) -> tuple[Column, ...]:
    return tuple(Column(name, sql_type, fold) for name in names.split())


#: The posture of a tick. starved: JSON, a list of modalities.
POSTURE_COLUMNS = (
    *_columns("REAL", "mean", "confidence asymmetry breadth"),
    *_columns("TEXT", "last", "starved"),
)

#: surprise: mean over the sources with one.  h_change, l_change: of ActivityFacts.
MODEL_COLUMNS = _columns("REAL", "mean", "surprise h_change l_change")

#: Besides (session, tick). rest: msgpack of timing stages, actions, events and the sources' order.
TICK_COLUMNS = (
    *_columns("INTEGER", "sum", "num_ticks num_overruns num_stored"),
    *_columns("INTEGER", "last", "time_ns"),
    *_columns("TEXT", "last", "state"),
    *_columns("REAL", "mean", "num_segments value total_ns model_ns"),
    *_columns("REAL", "mean", "xerr agreement agreement_null correctness coherence"),
    *_columns("INTEGER", "last", "coherence_ticks num_kept num_seen capacity num_transitions"),
    *_columns("REAL", "mean", "memory_salience loss gate"),
    *_columns("INTEGER", "last", "num_practice_steps weights_version num_carry_resets"),
    *POSTURE_COLUMNS,
    *MODEL_COLUMNS,
    *_columns("BLOB", "last", "digest"),
    *_columns("BLOB", "drop", "rest"),
)

#: Besides (session, source, tick).
SOURCE_COLUMNS = (
    *_columns("INTEGER", "sum", "num_ticks num_fresh num_attended num_scored"),
    *_columns("TEXT", "last", "status reason"),
    *_columns("INTEGER", "last", "sequence age_ns num_dropped num_late num_duplicate num_faults"),
    *_columns("REAL", "mean", "trust weight quality surprise novelty salience"),
    *_columns("REAL", "scored", "error persistence_error skip_error"),
)

#: Besides (session, level, tick), in ticks in which answers of that level had a result. num_segments and
#: confidence are sums over the answers.
ANSWER_COLUMNS = (
    *_columns("INTEGER", "sum", "num_answers num_right num_abstained num_segments"),
    *_columns("REAL", "sum", "confidence"),
)

#: levels: JSON of SleepReport.levels.
SLEEP_COLUMNS = (
    *_columns("TEXT", "last", "outcome reason"),
    *_columns("INTEGER", "last", "tick num_replayed num_examined num_steps"),
    *_columns(
        "REAL",
        "last",
        "loss_before loss_after gain gain_low gain_high loss_old_before loss_old_after wall_secs",
    ),
    *_columns("TEXT", "last", "stream levels"),
)


def _declared(columns: tuple[Column, ...]) -> str:
    return ", ".join(f"{column.name} {column.sql_type}" for column in columns)


#: level_names: the levels of every puzzle stream of a session, numbered over all streams.
_ANSWER_TABLES = f"""
CREATE TABLE level_names (session INTEGER, level INTEGER, stream TEXT NOT NULL, name TEXT NOT NULL,
    PRIMARY KEY (session, level)) WITHOUT ROWID;
CREATE TABLE answers (session INTEGER, level INTEGER, tick INTEGER, {_declared(ANSWER_COLUMNS)},
    PRIMARY KEY (session, level, tick)) WITHOUT ROWID;
"""

#: One row for each figure of each window of ticks.
_COHERENCE_TABLE = """
CREATE TABLE coherence (session INTEGER, tick INTEGER, metric TEXT, modules TEXT, time_ns INTEGER NOT NULL,
    num INTEGER NOT NULL, value REAL, null_mean REAL, null_std REAL, z REAL, estimator TEXT NOT NULL,
    PRIMARY KEY (session, tick, metric, modules)) WITHOUT ROWID;
"""

_SCHEMA = f"""
CREATE TABLE sessions (
    key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, started_ns INTEGER NOT NULL, ended_ns INTEGER,
    clock TEXT NOT NULL, clock_ns INTEGER NOT NULL, seed INTEGER NOT NULL,
    config TEXT NOT NULL, config_hash TEXT NOT NULL, versions TEXT NOT NULL, hardware TEXT NOT NULL,
    num_dropped INTEGER NOT NULL DEFAULT 0, temporal TEXT NOT NULL DEFAULT '[]');
CREATE TABLE source_names (session INTEGER, source INTEGER, name TEXT NOT NULL,
    PRIMARY KEY (session, source)) WITHOUT ROWID;
CREATE TABLE ticks (session INTEGER, tick INTEGER, {_declared(TICK_COLUMNS)},
    PRIMARY KEY (session, tick)) WITHOUT ROWID;
CREATE INDEX ticks_by_time ON ticks (session, time_ns);
CREATE TABLE sources (session INTEGER, source INTEGER, tick INTEGER, {_declared(SOURCE_COLUMNS)},
    PRIMARY KEY (session, source, tick)) WITHOUT ROWID;
{_ANSWER_TABLES}
{_COHERENCE_TABLE}
{EPISODE_TABLE}
{BOARD_TABLE}
CREATE TABLE sleeps (id INTEGER PRIMARY KEY, session INTEGER NOT NULL, end_tick INTEGER NOT NULL DEFAULT 0,
    {_declared(SLEEP_COLUMNS)});
CREATE TABLE events (id INTEGER PRIMARY KEY, session INTEGER NOT NULL, tick INTEGER NOT NULL,
    kind TEXT NOT NULL, source TEXT NOT NULL, message TEXT NOT NULL, data TEXT NOT NULL,
    fingerprint INTEGER NOT NULL);
CREATE UNIQUE INDEX events_once ON events (session, tick, fingerprint);
CREATE TABLE thinning (session INTEGER, level INTEGER, until_ns INTEGER NOT NULL,
    PRIMARY KEY (session, level)) WITHOUT ROWID;
"""


def connect(path: Path, *, is_reader: bool = False, timeout_secs: float = 5.0) -> sqlite3.Connection:
    """A connection in autocommit mode with rows by column name. Raises UserError for a file that cannot be
    used.
    """
    mode = "ro" if is_reader else "rw"
    try:
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode={mode}", uri=True, timeout=timeout_secs, isolation_level=None
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")  # `close_merged` and the writer merge the log
        _refuse_foreign(connection, path)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: cannot open the metrics store ({error}): check the file, or move it away"
        ) from error
    return connection


def close_merged(connection: sqlite3.Connection, path: Path) -> None:
    """Close a connection that may write, with the log merged into the file and the checksums of its pages
    written. Where that fails the log stays, and the next session merges it.
    """
    with suppress(sqlite3.Error, OSError):
        merge(connection, path)
    connection.close()


def create_if_missing(path: Path) -> None:
    """Make the file with its tables, or upgrade one of an earlier schema version. Any other file is left as
    it is; `connect` checks it.
    """
    try:
        if path.exists() and path.stat().st_size > 0:
            if _is_earlier(path):
                _upgrade(path)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            stamps = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"
            connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} {stamps} COMMIT;")
        finally:
            close_merged(connection, path)
    except (OSError, sqlite3.Error) as error:
        if "malformed" in str(error) or "not a database" in str(error):
            raise UserError(
                f"{path}: damaged ({error}): move it away, or give another state directory"
            ) from error
        raise UserError(
            f"{path}: cannot create or upgrade the metrics store ({error}): choose a writable state_dir"
        ) from error


def _is_earlier(path: Path) -> bool:
    """Whether it is a store of an earlier version; False for what `connect` refuses."""
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        return application_id == APPLICATION_ID and 1 <= _version(connection) < SCHEMA_VERSION
    except sqlite3.DatabaseError as error:
        if "not a database" not in str(error):
            raise
        return False
    finally:
        connection.close()


def _upgrade(path: Path) -> None:
    """From an earlier schema version, in one transaction."""
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, isolation_level=None)
    try:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("BEGIN IMMEDIATE")
        if _version(connection) == 1:  # another process may have upgraded it meanwhile
            _upgrade_from_1(connection)
        if _version(connection) == 2:
            _upgrade_from_2(connection)
        if _version(connection) == 3:
            _upgrade_from_3(connection)
        if _version(connection) == 4:
            _upgrade_from_4(connection)
        if _version(connection) == 5:
            _upgrade_from_5(connection)
        if _version(connection) == 6:
            _upgrade_from_6(connection)
        connection.execute("COMMIT")
    finally:
        close_merged(connection, path)


def _upgrade_from_1(connection: sqlite3.Connection) -> None:
    """The end of a sleep is then the last tick of its DREAM state; a source of kind clock or memory in the
    session's configuration is temporal.
    """
    connection.execute("ALTER TABLE sessions ADD COLUMN temporal TEXT NOT NULL DEFAULT '[]'")
    connection.execute("ALTER TABLE sleeps ADD COLUMN end_tick INTEGER NOT NULL DEFAULT 0")
    connection.execute(
        "UPDATE sleeps SET end_tick = COALESCE((SELECT MIN(ticks.tick) - 1 FROM ticks WHERE"
        " ticks.session = sleeps.session AND ticks.tick > sleeps.tick AND ticks.state <> 'dream'),"
        " tick)"
    )
    for key, config in connection.execute("SELECT key, config FROM sessions").fetchall():
        temporal = json.dumps(_temporal_in(config))
        connection.execute("UPDATE sessions SET temporal = ? WHERE key = ?", (temporal, key))
    connection.execute("PRAGMA user_version = 2")


def _upgrade_from_2(connection: sqlite3.Connection) -> None:
    """Puzzle streams: their answers by level, and the levels of a night."""
    for statement in _ANSWER_TABLES.split(";")[:-1]:
        connection.execute(statement)
    for column in ("stream", "levels"):
        connection.execute(f"ALTER TABLE sleeps ADD COLUMN {column} TEXT")
    connection.execute("PRAGMA user_version = 3")


def _upgrade_from_3(connection: sqlite3.Connection) -> None:
    """Coherence figures by window."""
    connection.execute(_COHERENCE_TABLE)
    connection.execute("PRAGMA user_version = 4")


def _upgrade_from_4(connection: sqlite3.Connection) -> None:
    """The posture of a tick."""
    for column in POSTURE_COLUMNS:
        connection.execute(f"ALTER TABLE ticks ADD COLUMN {column.name} {column.sql_type}")
    connection.execute("PRAGMA user_version = 5")


def _upgrade_from_5(connection: sqlite3.Connection) -> None:
    """Episodes of worlds, and puzzles in hand."""
    connection.execute(EPISODE_TABLE)
    connection.execute(BOARD_TABLE)
    connection.execute("PRAGMA user_version = 6")


def _upgrade_from_6(connection: sqlite3.Connection) -> None:
    """The mean surprise of a tick, and the activity of the model's states."""
    for column in MODEL_COLUMNS:
        connection.execute(f"ALTER TABLE ticks ADD COLUMN {column.name} {column.sql_type}")
    connection.execute("PRAGMA user_version = 7")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _temporal_in(config: str) -> list[str]:
    """Names of the sources of kind clock or memory in a session's configuration (YAML)."""
    try:
        sensors = load_plain(config)["sensors"]
        return [entry["name"] for entry in sensors if entry["kind"] in ("clock", "memory")]
    except (yaml.YAMLError, KeyError, TypeError):
        return []


def _refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    version = _version(connection)
    if application_id == APPLICATION_ID and version == SCHEMA_VERSION:
        return
    connection.close()
    if application_id != APPLICATION_ID:
        raise UserError(f"{path}: not a SAGE metrics store: give another path, or move the file away")
    raise UserError(_newer(path, version))


def refuse_newer(path: Path) -> None:
    """UserError for a store of a newer version, by its first bytes (SQLite file format, section 1.3)."""
    with path.open("rb") as file:
        head = file.read(72)
    version, application_id = (int.from_bytes(head[at : at + 4], "big") for at in (60, 68))
    if len(head) == 72 and application_id == APPLICATION_ID and SCHEMA_VERSION < version <= _MAX_VERSION:
        raise UserError(_newer(path, version))


def _newer(path: Path, version: int) -> str:
    return (
        f"{path}: schema version {version}, this SAGE reads {SCHEMA_VERSION}: upgrade SAGE, or move the file"
        " away"
    )


def names_of(columns: tuple[Column, ...]) -> tuple[str, ...]:
    return tuple(column.name for column in columns)


def insert_into(table: str, keys: tuple[str, ...], columns: tuple[Column, ...]) -> str:
    """`INSERT OR REPLACE` with one placeholder a column, keys first."""
    names = (*keys, *names_of(columns))
    return f"INSERT OR REPLACE INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
