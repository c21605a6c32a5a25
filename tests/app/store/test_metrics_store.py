"""The metrics store: complete reports, no waiting on the loop's thread, a bounded file, concurrent
readers.
"""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sage.app.session.synthetic import SOURCES, SyntheticSession
from sage.app.store import schema as store_schema
from sage.app.store import writer as store_writer
from sage.app.store.export import export_session
from sage.app.store.metrics_store import MetricsStore, Retention
from sage.app.store.thinning import Thinner, used_bytes
from sage.app.terminal.errors import UserError
from sage.runtime.report import Event, TickReport

WALL_NS = 1_795_305_600_000_000_000


@pytest.fixture
def store(tmp_path):
    with MetricsStore(tmp_path / "metrics.sqlite", wall_ns=lambda: WALL_NS, flush_secs=0.01) as store:
        yield store


def record(store: MetricsStore, feed: SyntheticSession, **facts) -> str:
    session = store.begin_session(**facts)
    writer = store.instrument(session)
    feed.play(writer)
    assert writer.flush()
    return session


def thin_all(path: Path, retention: Retention, *, wall_ns: int = WALL_NS, active: int | None = None) -> int:
    """Every step there is to do; returns their number."""
    connection = store_schema.connect(path)
    try:
        thinner = Thinner(retention, lambda: wall_ns)
        num_steps = 0
        while thinner.step(connection, active):
            num_steps += 1
        return num_steps
    finally:
        connection.close()


def test_every_fact_of_every_tick_comes_back(store):
    feed = SyntheticSession(num_ticks=120)
    session = record(store, feed)
    reports = [item for item in SyntheticSession(num_ticks=120).items() if isinstance(item, TickReport)]
    for report in reports:
        restored = store.tick(session, report.facts.tick)
        assert restored is not None
        assert restored.facts.digest() == report.facts.digest()
        assert restored.timing == report.timing


def test_sleeps_and_events_come_back_as_they_were(store):
    session = record(store, SyntheticSession(num_ticks=100))
    accepted, rolled_back = store.sleeps(session)
    assert (accepted.outcome, accepted.tick, accepted.gain_low) == ("accepted", 40, pytest.approx(0.07))
    assert rolled_back.outcome == "rolled_back"
    events = store.events(session)
    assert [event.kind for event in events] == ["session", "quarantine", "recovered"]
    assert events[1].data == (("num_faults", 3),)
    assert [event.kind for event in store.events(session, limit=1)] == ["recovered"]


def test_two_equal_runs_show_no_difference_and_a_changed_one_shows_where(store):
    first = record(store, SyntheticSession(num_ticks=50))
    second = record(store, SyntheticSession(num_ticks=50))
    other = record(store, SyntheticSession(num_ticks=50, seed=1))
    assert store.first_difference(first, second) is None
    assert store.first_difference(first, other) == 0


def test_a_session_has_a_readable_unique_name_and_its_circumstances(store):
    facts = {
        "config": "tick_hz: 20\n",
        "config_hash": "abc",
        "versions": {"sage": "0.1"},
        "hardware": {"cpu": "x"},
        "seed": 7,
    }
    first, second = record(store, SyntheticSession(num_ticks=10), **facts), store.begin_session(**facts)
    assert second == f"{first}-2"
    assert len(first.split("-")) == 5
    assert first.startswith("2026-11-22-")
    one = store.session(first)
    assert (one.config, one.seed, one.versions, one.hardware) == (
        "tick_hz: 20\n",
        7,
        {"sage": "0.1"},
        {"cpu": "x"},
    )
    assert (one.num_ticks, one.sources, one.span_ns) == (10, SOURCES, 450_000_000)
    assert [session.id for session in store.sessions()] == [first, second]


def test_a_closed_store_has_ended_its_sessions_and_a_killed_one_has_not(tmp_path):
    path = tmp_path / "metrics.sqlite"
    with MetricsStore(path, wall_ns=lambda: WALL_NS) as store:
        session = store.begin_session()
        SyntheticSession(num_ticks=30).play(store.instrument(session))
        unended = store.begin_session(name="never ended")
    with MetricsStore(path, must_exist=True) as store:
        assert store.session(session).ended_ns == WALL_NS
        assert store.session(session).num_ticks == 30
        assert store.session(unended).ended_ns is None


def test_series_share_one_axis_and_hold_nan_where_nothing_was(store):
    session = record(store, SyntheticSession(num_ticks=200))
    names = ["coherence", "imu.trust", "camera.front.surprise", "camera.front.status", "state"]
    series = store.series(session, names)
    assert list(series.values) == names
    assert {len(values) for values in series.values.values()} == {200}
    assert np.isnan(series.values["coherence"][:41]).all()
    assert np.isfinite(series.values["coherence"][41:]).all()
    assert np.isnan(series.values["camera.front.surprise"][100])
    assert series.values["camera.front.status"][100] == "quarantined"
    assert series.values["state"][85] == "dream"


def test_a_downsampled_series_is_the_average_of_what_it_stands_for(store):
    session = record(store, SyntheticSession(num_ticks=1000))
    whole = store.series(session, ["value", "imu.trust", "imu.error"])
    small = store.series(session, ["value", "imu.trust", "imu.error"], max_points=50)
    assert 40 <= len(small.time_ns) <= 50
    assert small.num_ticks.sum() == 1000
    for name in ("value", "imu.trust"):
        assert np.average(small.values[name], weights=small.num_ticks) == pytest.approx(
            whole.values[name].mean()
        )
    assert np.nansum(small.values["imu.error"]) == pytest.approx(np.nansum(whole.values["imu.error"]))


def test_an_unknown_series_names_the_nearest_one(store):
    session = record(store, SyntheticSession(num_ticks=5))
    with pytest.raises(UserError, match=r"imu\.trus.*did you mean imu\.trust\?"):
        store.series(session, ["imu.trus"])


def test_age_thins_ticks_to_averages_and_keeps_their_sums(store):
    session = record(store, SyntheticSession(num_ticks=2000))  # 100 s
    before = store.series(
        session, ["imu.error", "imu.persistence_error", "total_ns", "num_overruns", "imu.num_fresh"], 5000
    )
    store.close()
    assert thin_all(store.path, Retention(levels=((20.0, 1.0), (60.0, 10.0)))) > 1
    info = store.inspect()
    assert info.num_ticks == 2000
    assert info.num_rows == 420 + 44 + 4, "the last 20 s whole, one a second to 60 s, one in ten before"
    assert info.num_source_rows == 3 * info.num_rows
    after = store.series(session, list(before.values))
    for name in ("imu.error", "imu.persistence_error", "num_overruns", "imu.num_fresh"):
        assert np.nansum(after.values[name]) == pytest.approx(np.nansum(before.values[name])), name
    assert np.average(after.values["total_ns"], weights=after.num_ticks) == pytest.approx(
        before.values["total_ns"].mean()
    )
    assert store.tick(session, 1999) is not None
    assert store.tick(session, int(before.num_ticks[:200].sum()) - 1) is None, "an average is not a report"
    assert store.first_difference(session, session) is None


def test_thinning_twice_changes_nothing_more(store):
    record(store, SyntheticSession(num_ticks=1000))
    store.close()
    retention = Retention(levels=((10.0, 1.0),))
    thin_all(store.path, retention)
    rows = store.inspect().num_rows
    assert thin_all(store.path, retention) == 0
    assert store.inspect().num_rows == rows


def test_an_ended_session_ages_on_and_goes_after_keep_days(store):
    session = record(store, SyntheticSession(num_ticks=100))
    kept = store.begin_session(name="kept")
    store.close()
    day_ns = 86_400_000_000_000
    thin_all(store.path, Retention(keep_days=30), wall_ns=WALL_NS + 29 * day_ns, active=2)
    assert store.inspect().num_rows == 1, "five seconds, averaged to ten"
    thin_all(store.path, Retention(keep_days=30), wall_ns=WALL_NS + 31 * day_ns, active=2)
    assert [session.id for session in store.sessions()] == [kept]
    assert session != kept


def test_beyond_max_bytes_the_oldest_rows_go_first(store):
    old = record(store, SyntheticSession(num_ticks=1500))
    new = record(store, SyntheticSession(num_ticks=1500))
    store.close()
    thin_all(store.path, Retention(max_bytes=1 << 20, levels=()), active=2)
    connection = store_schema.connect(store.path)
    assert used_bytes(connection) <= 1 << 20
    assert connection.execute("PRAGMA freelist_count").fetchone()[0] <= 256, "the file shrinks too"
    connection.close()
    assert [session.id for session in store.sessions()] == [new]
    assert 0 < store.session(new).num_ticks < 1500
    assert old != new


def test_a_flood_of_events_is_cut_to_the_newest(store):
    session = store.begin_session()
    writer = store.instrument(session)
    for number in range(500):
        writer.on_event(Event(kind="flood", tick=number))
    store.close()
    thin_all(store.path, Retention(max_events=100), active=1)
    events = store.events(session)
    assert (len(events), events[-1].tick) == (100, 499)


def test_a_full_queue_counts_what_it_drops_and_stores_the_count(tmp_path):
    with MetricsStore(tmp_path / "metrics.sqlite", capacity=10, flush_secs=0.01) as store:
        session = store.begin_session()
        writer = store.instrument(session)
        lock = sqlite3.connect(store.path, isolation_level=None)
        lock.execute(
            "BEGIN IMMEDIATE"
        )  # the writer cannot commit: what it holds plus the queue is all there is room for
        SyntheticSession(num_ticks=1500).play(writer)
        statistics = writer.statistics()
        lock.execute("ROLLBACK")
        lock.close()
        assert statistics.num_dropped > 0
        assert writer.flush(timeout_secs=20)
        assert writer.statistics().problem == ""
        (event,) = [event for event in store.events(session) if event.kind == "store"]
        assert str(writer.statistics().num_dropped) in event.message
        assert store.session(session).num_dropped == writer.statistics().num_dropped
        assert store.session(session).num_ticks + writer.statistics().num_dropped >= 1500


def test_a_full_disk_is_reported_and_loses_nothing(tmp_path, monkeypatch):
    max_pages = [30]  # SQLite's own way to have no more room

    def connect_with_little_room(path, **options):
        connection = store_schema.connect(path, **options)
        connection.execute(f"PRAGMA max_page_count = {max_pages[0]}")
        return connection

    monkeypatch.setattr(store_writer, "connect", connect_with_little_room)
    with MetricsStore(tmp_path / "metrics.sqlite", flush_secs=0.01) as store:
        session = store.begin_session()
        writer = store.instrument(session)
        SyntheticSession(num_ticks=500).play(writer)
        assert not writer.flush(timeout_secs=0.5)
        assert "full" in writer.statistics().problem
        assert any("full" in notice for notice in writer.notices())
        assert writer.statistics().num_failed_writes > 0
        max_pages[0] = 1 << 30
        assert writer.flush(timeout_secs=20)
        assert writer.statistics().problem == ""
        assert writer.notices() == ()
        assert store.session(session).num_ticks == 500


def test_a_report_that_fits_no_row_is_counted_and_the_rest_stored(store):
    session = store.begin_session()
    writer = store.instrument(session)
    good = [item for item in SyntheticSession(num_ticks=3).items() if isinstance(item, TickReport)]
    writer.on_tick(good[0])
    writer.on_tick(replace(good[1], facts=replace(good[1].facts, value=1j)))
    writer.on_tick(replace(good[1], facts=replace(good[1].facts, time_ns=1 << 70)))
    writer.on_tick(good[2])
    assert writer.flush()
    assert writer.statistics().num_unstorable == 2
    assert writer.statistics().problem == ""
    assert store.session(session).num_ticks == 2


def test_another_process_reads_while_this_one_writes(store):
    session = record(store, SyntheticSession(num_ticks=50))
    code = (
        "import sys; from sage.app.store.metrics_store import MetricsStore\n"
        "with MetricsStore(sys.argv[1], must_exist=True) as store: print(store.session(None).num_ticks)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(store.path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "50"
    assert store.session(session).num_ticks == 50


def test_a_killed_process_loses_at_most_its_last_batch(tmp_path):
    path = tmp_path / "metrics.sqlite"
    code = """
import sys, threading
from sage.app.store.metrics_store import MetricsStore
from sage.app.session.synthetic import SyntheticSession
store = MetricsStore(sys.argv[1], flush_secs=0.01)
writer = store.instrument(store.begin_session())
SyntheticSession(num_ticks=400).play(writer)
assert writer.flush()
print("flushed", flush=True)
while True:
    SyntheticSession(num_ticks=400, seed=1).play(writer)
"""
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "flushed\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    with MetricsStore(path, must_exist=True) as store:
        assert store.session().num_ticks == 400
        assert len(store.sleeps(store.session().id)) >= 2
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b"not a database" * 100), "not a database"),
        (
            lambda path: sqlite3.connect(path).execute("CREATE TABLE t (a)").connection.close(),
            "not a SAGE metrics store",
        ),
        (lambda path: path.mkdir(), "metrics store"),
        (lambda path: None, "sage run"),
    ],
)
def test_a_file_that_is_no_store_is_one_line(tmp_path, make, message):
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


def test_an_unknown_session_names_the_latest(store):
    with pytest.raises(UserError, match="no session is stored"):
        store.session()
    store.begin_session(name="here")
    with pytest.raises(UserError, match=r"'gone'.*the latest are here"):
        store.events("gone")


def test_the_start_of_an_id_is_enough_where_it_is_unique(store):
    store.begin_session(name="2026-11-22-quiet-otter")
    store.begin_session(name="2026-11-23-warm-wren")
    assert store.session("2026-11-22").id == "2026-11-22-quiet-otter"
    with pytest.raises(UserError, match=r"matches 2026-11-2.*give more"):
        store.session("2026-11")


def test_csv_and_jsonl_hold_every_tick(store, tmp_path):
    session = record(store, SyntheticSession(num_ticks=60))
    ticks, sleeps, events = export_session(store, store.session(session), tmp_path / "out" / "run.csv")
    with ticks.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60
    assert rows[0]["coherence"] == ""
    assert float(rows[59]["imu.trust"]) > 0.5
    assert "accepted" in sleeps.read_text()
    assert "quarantine" in events.read_text()
    (lines,) = export_session(store, store.session(), tmp_path / "run.jsonl")
    parsed = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [line["type"] for line in parsed].count("tick") == 60
    assert parsed[1]["sources"]["imu"]["status"] == "running"
    assert parsed[0]["type"] == "session"


def test_parquet_reads_back_with_its_types(store, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    session = record(store, SyntheticSession(num_ticks=60))
    table = parquet.read_table(export_session(store, store.session(session), tmp_path / "run.parquet")[0])
    assert table.num_rows == 60
    assert str(table.schema.field("imu.trust").type) == "double"
    assert math.isclose(sum(table["imu.num_fresh"].to_pylist()), 20)


def test_an_export_to_an_unknown_format_lists_the_known_ones(store, tmp_path):
    session = record(store, SyntheticSession(num_ticks=2))
    with pytest.raises(UserError, match=r"\.parquet, \.csv or \.jsonl"):
        export_session(store, store.session(session), tmp_path / "run.xlsx")


def test_a_store_of_schema_version_1_is_upgraded_and_keeps_its_sessions(tmp_path):
    path = tmp_path / "metrics.sqlite"
    config = "sensors:\n- {kind: clock, name: time}\n- {kind: synthetic, name: one}\n"
    with MetricsStore(path, flush_secs=0.01) as store:
        session = record(store, SyntheticSession(num_ticks=100), config=config)
    with sqlite3.connect(path) as connection:
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
