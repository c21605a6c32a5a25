"""The writer never blocks the loop, counts what it drops, and retries on a full disk."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace

from sage.app.session.synthetic import SyntheticSession
from sage.app.store import schema as store_schema
from sage.app.store import writer as store_writer
from sage.app.store.metrics_store import MetricsStore
from sage.runtime.report import Event, SleepReport, TickReport


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


def test_thinning_that_fails_is_shown_and_stores_nothing_twice(tmp_path, monkeypatch):
    with MetricsStore(tmp_path / "metrics.sqlite", flush_secs=0.01) as store:
        session = store.begin_session()

        def fail(*_: object) -> bool:
            raise sqlite3.OperationalError("database disk image is malformed")

        monkeypatch.setattr(store_writer.Thinner, "step", fail)
        monkeypatch.setattr(store_writer, "_THIN_SECS", 0.0)
        writer = store.instrument(session)
        SyntheticSession(num_ticks=500).play(writer)
        num_nights = len([item for item in SyntheticSession(num_ticks=500).items() if is_night(item)])
        assert writer.flush()
        assert writer.flush()
        statistics = writer.statistics()
        assert (statistics.problem, statistics.num_failed_writes) == ("", 0)
        assert "store: old rows are not thinned: database disk image is malformed" in writer.notices()
        assert len(store.sleeps(session)) == num_nights > 0
        monkeypatch.undo()
        monkeypatch.setattr(store_writer, "_THIN_SECS", 0.0)
        assert writer.flush()
        assert writer.notices() == ()


def is_night(item: object) -> bool:
    return isinstance(item, SleepReport)


def test_what_a_closed_store_did_not_write_is_counted(tmp_path):
    with MetricsStore(tmp_path / "metrics.sqlite", flush_secs=0.01) as store:
        writer = store.instrument(store.begin_session())
        writer.refuse("disk full")
        for number in range(10):
            writer.on_event(Event(kind="flood", tick=number))
        writer.close()
        assert writer.statistics().num_queued == 10


def test_drops_before_a_commit_that_fails_are_stored_by_the_next(tmp_path, monkeypatch):
    is_failing = [True]

    class Failing(store_writer.transaction):
        def __exit__(self, kind, *others):
            if kind is None and is_failing[0] and writer.statistics().num_dropped:
                is_failing[0] = False
                super().__exit__(sqlite3.OperationalError, *others)
                raise sqlite3.OperationalError("disk I/O error")
            super().__exit__(kind, *others)

    with MetricsStore(tmp_path / "metrics.sqlite", capacity=10, flush_secs=0.01) as store:
        session = store.begin_session()
        writer = store.instrument(session)
        writer.refuse("disk full")
        SyntheticSession(num_ticks=1500).play(writer)
        assert writer.statistics().num_dropped > 0
        monkeypatch.setattr(store_writer, "transaction", Failing)
        writer.refuse("")
        assert writer.flush(timeout_secs=20)
        assert not is_failing[0]
        assert store.session(session).num_dropped == writer.statistics().num_dropped


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


def test_a_commit_holds_few_rows_however_many_sources_there_are(tmp_path, monkeypatch):
    """What is committed stays when the process ends before the rest is written."""
    batches = []
    write = store_writer.StoreWriter._write

    def noted(self, batch, is_last):
        batches.append([len(item.facts.sources) for item in batch if isinstance(item, TickReport)])
        write(self, batch, is_last)

    monkeypatch.setattr(store_writer.StoreWriter, "_write", noted)
    with MetricsStore(tmp_path / "metrics.sqlite") as store:
        session = store.begin_session()
        feed = SyntheticSession(num_ticks=100, sources=tuple(f"s{number}" for number in range(100)))
        writer = store.instrument(session)
        for item in [*feed.items()]:
            writer.put(item)
        writer.close()
        assert max(map(sum, batches)) < 4096 + 100
        assert writer.statistics().num_queued == 0
        assert store.session(session).num_ticks == 100


class _SlowThread:
    """Stores ten reports at each wait, of as many as it is given."""

    def __init__(self, writer: store_writer.StoreWriter, num: int) -> None:
        self._writer = writer
        self._num = num
        self.waits: list[float] = []

    def is_alive(self) -> bool:
        return True

    def join(self, timeout_secs: float) -> None:
        self.waits.append(timeout_secs)
        self._writer._num_written = min(self._num, self._writer._num_written + 10)


def test_close_waits_as_long_as_reports_are_stored(store, monkeypatch):
    writer = store.instrument(store.begin_session())
    writer.close()
    for num in (0, 50):
        writer._num_written = 0
        slow = _SlowThread(writer, num)
        monkeypatch.setattr(writer, "_thread", slow)
        writer.close(timeout_secs=0.5)
        assert len(slow.waits) == num // 10 + 1
        assert set(slow.waits) == {0.5}


def test_a_store_that_is_locked_at_the_end_is_tried_again(tmp_path, monkeypatch):
    num_failures = [0]

    def connect_when_free(path, **options):
        if not writer._is_closing or num_failures[0] < 3:
            num_failures[0] += writer._is_closing
            raise sqlite3.OperationalError("database is locked")
        return store_schema.connect(path, **options)

    with MetricsStore(tmp_path / "metrics.sqlite", flush_secs=0.001) as store:
        session = store.begin_session()
        monkeypatch.setattr(store_writer, "connect", connect_when_free)
        writer = store.instrument(session)
        writer.on_event(Event(kind="late", tick=1))
        writer.close()
        assert num_failures[0] == 3
        assert writer.statistics().num_queued == 0
        assert [event.kind for event in store.events(session)] == ["late"]
