"""Files that are not a store, of a newer schema, or of an earlier one."""

from __future__ import annotations

import math
import sqlite3

import numpy as np
import pytest

from sage.app.session.synthetic import SyntheticSession
from sage.app.store.metrics_store import MetricsStore
from sage.app.store.schema import MODEL_COLUMNS, POSTURE_COLUMNS
from sage.app.terminal.errors import UserError


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b"not a database" * 100), "not a database"),
        (
            lambda path: sqlite3.connect(path).execute("CREATE TABLE t (a)").connection.close(),
            "not a SAGE metrics store",
        ),
        (lambda path: path.write_bytes(b"SQLite format 3\0" + b"\xff" * 84), "damaged|not a database"),
        (lambda path: path.mkdir(), "metrics store"),
        (lambda path: None, "sage run"),
    ],
)
def test_a_file_that_is_not_a_store_is_one_line(tmp_path, make, message):
    path = tmp_path / "metrics.sqlite"
    make(path)
    with pytest.raises(UserError, match=message) as raised:
        MetricsStore(path, must_exist=True)
    assert str(path) in str(raised.value)


def test_a_newer_schema_is_refused(tmp_path):
    path = tmp_path / "metrics.sqlite"
    MetricsStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(UserError, match=r"schema version 99.*upgrade SAGE"):
        MetricsStore(path)


def as_version_2(connection: sqlite3.Connection) -> None:
    """Take away what versions 3 to 7 added."""
    for column in (*POSTURE_COLUMNS, *MODEL_COLUMNS):
        connection.execute(f"ALTER TABLE ticks DROP COLUMN {column.name}")
    for table in ("answers", "level_names", "coherence", "episodes", "boards"):
        connection.execute(f"DROP TABLE {table}")
    for column in ("stream", "levels"):
        connection.execute(f"ALTER TABLE sleeps DROP COLUMN {column}")
    connection.execute("PRAGMA user_version = 2")


def test_a_store_of_schema_version_2_is_upgraded_and_keeps_its_nights(tmp_path, record):
    path = tmp_path / "metrics.sqlite"
    with MetricsStore(path, flush_secs=0.01) as store:
        session = record(store, SyntheticSession(num_ticks=100))
        nights = store.sleeps(session)
    with sqlite3.connect(path) as connection:
        as_version_2(connection)
    connection.close()
    with MetricsStore(path, must_exist=True) as store:
        assert repr(store.sleeps(session)) == repr(nights)  # NaN is not equal to itself
        assert store.answers(session) == ()
        assert store.first_difference(session, session) is None
        assert record(store, SyntheticSession(num_ticks=10)) != session


def test_a_store_of_schema_version_1_is_upgraded_and_keeps_its_sessions(tmp_path, record):
    path = tmp_path / "metrics.sqlite"
    config = "sensors:\n- {kind: clock, name: time}\n- {kind: synthetic, name: one}\n"
    with MetricsStore(path, flush_secs=0.01) as store:
        session = record(store, SyntheticSession(num_ticks=100), config=config)
    with sqlite3.connect(path) as connection:
        as_version_2(connection)
        connection.execute("ALTER TABLE sessions DROP COLUMN temporal")
        connection.execute("ALTER TABLE sleeps DROP COLUMN end_tick")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    with MetricsStore(path, must_exist=True) as store:
        found = store.session(session)
        assert found.temporal == ("time",)
        assert found.num_ticks == 100
        # DREAM follows each sleep of the synthetic session, up to these ticks.
        assert store.sleep_ends(session) == (43, 78)


def test_a_store_of_schema_version_6_is_upgraded_and_keeps_its_ticks(tmp_path, record):
    path = tmp_path / "metrics.sqlite"
    with MetricsStore(path, flush_secs=0.01) as store:
        session = record(store, SyntheticSession(num_ticks=100))
        digest = store.tick(session, 50).facts.digest()
    with sqlite3.connect(path) as connection:
        for column in MODEL_COLUMNS:
            connection.execute(f"ALTER TABLE ticks DROP COLUMN {column.name}")
        connection.execute("PRAGMA user_version = 6")
    connection.close()
    with MetricsStore(path, must_exist=True) as store:
        restored = store.tick(session, 50)
        assert restored.facts.digest() == digest
        assert math.isnan(restored.facts.activity.h_change)
        assert np.isnan(store.series(session, ["surprise"]).values["surprise"]).all()
        later = record(store, SyntheticSession(num_ticks=10))
        assert np.isfinite(store.series(later, ["h_change"]).values["h_change"]).all()
