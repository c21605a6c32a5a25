"""Thinning averages old ticks, deletes older ones and keeps sums."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from sage.app.session.synthetic import SyntheticSession
from sage.app.store import schema as store_schema
from sage.app.store.metrics_store import MetricsStore, Retention
from sage.app.store.thinning import Thinner, used_bytes
from sage.app.terminal.skill import SkillTable
from sage.runtime.coherence.rows import CoherenceRow
from sage.runtime.report import Event, SleepReport, TickReport

WALL_NS = 1_795_305_600_000_000_000


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


def test_age_thins_ticks_to_averages_and_keeps_their_sums(store, record):
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


def test_an_infinite_error_is_in_no_skill_also_once_it_is_averaged(store):
    """As in the summary of the session, which leaves such a reading out."""
    session = store.begin_session()
    writer, table = store.instrument(session), SkillTable()
    for item in SyntheticSession(num_ticks=400).items():
        if not isinstance(item, TickReport):
            continue
        facts = item.facts
        if facts.tick in (100, 120):
            error = math.inf if facts.tick == 100 else facts.sources[0].error
            sources = (
                dataclasses.replace(each, error=error, skip_error=math.inf) for each in facts.sources[:1]
            )
            facts = dataclasses.replace(facts, sources=(*sources, *facts.sources[1:]))
        writer.on_tick(dataclasses.replace(item, facts=facts))
        table.next_tick()
        for source in facts.sources:
            table.add(source)
    assert writer.flush(20)
    name = facts.sources[0].name
    wanted = table.figures((name,))
    assert math.isfinite(wanted.overall)
    assert math.isfinite(wanted.gain_over_skip)
    before = store.skill_table(session).figures((name,))
    store.close()
    thin_all(store.path, Retention(levels=((1.0, 1.0),)))
    assert store.inspect().num_rows < 60
    after = store.skill_table(session).figures((name,))
    for found in (before, after):
        assert found.num_scored == wanted.num_scored
        assert found.overall == pytest.approx(wanted.overall)
    assert before.gain_over_skip == pytest.approx(wanted.gain_over_skip)
    assert after.gain_over_skip == pytest.approx(wanted.gain_over_skip, abs=0.02)  # of readings around it


def test_thinning_twice_changes_nothing_more(store, record):
    record(store, SyntheticSession(num_ticks=1000))
    store.close()
    retention = Retention(levels=((10.0, 1.0),))
    thin_all(store.path, retention)
    rows = store.inspect().num_rows
    assert thin_all(store.path, retention) == 0
    assert store.inspect().num_rows == rows


def test_an_ended_session_is_deleted_after_keep_days(store, record):
    session = record(store, SyntheticSession(num_ticks=100))
    kept = store.begin_session(name="kept")
    store.close()
    day_ns = 86_400_000_000_000
    thin_all(store.path, Retention(keep_days=30), wall_ns=WALL_NS + 29 * day_ns, active=2)
    assert store.inspect().num_rows == 1, "five seconds, averaged to ten"
    thin_all(store.path, Retention(keep_days=30), wall_ns=WALL_NS + 31 * day_ns, active=2)
    assert [session.id for session in store.sessions()] == [kept]
    assert session != kept


def test_beyond_max_bytes_the_oldest_rows_are_deleted_first(store, record):
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


def test_figures_and_nights_of_a_running_session_go_with_its_ticks(store):
    session = store.begin_session()
    writer = store.instrument(session)
    feed = SyntheticSession(num_ticks=1500)
    nights = [item for item in feed.items() if isinstance(item, SleepReport)]
    writer.on_sleep(nights[0])
    feed.play(writer)
    rows = [
        CoherenceRow(metric=f"m{number}", modules="a", tick=10, time_ns=1, num=1, value=0.5)
        for number in range(50)
    ]
    writer.on_coherence(tuple(rows))
    writer.on_coherence((dataclasses.replace(rows[0], tick=1499),))
    assert writer.flush()
    assert len(store.sleeps(session)) == len(nights) + 1
    store.close()
    thin_all(store.path, Retention(max_bytes=1 << 20, levels=()), active=1)
    assert [figure.tick for figure in store.coherence(session)] == [1499]
    assert 0 < len(store.sleeps(session)) <= len(nights)


DAY_NS = 86_400_000_000_000
YEAR_NS = 365 * DAY_NS


def ids_after(path: Path, walls: list[int], *, now_ns: int) -> list[str]:
    """The sessions that are left after one that runs at `now_ns`; each of the others lasted 5 s from its wall
    time and has no end, as one that was killed.
    """
    with MetricsStore(path, retention=Retention(keep_days=30)) as store:
        for number, wall_ns in enumerate(walls):
            store._wall_ns = lambda wall_ns=wall_ns: wall_ns
            session = store.begin_session(name=f"s{number}", clock_ns=5_000_000_000)
            SyntheticSession(num_ticks=100).play(store.instrument(session))
    connection = store_schema.connect(path)
    with connection:
        connection.execute("UPDATE sessions SET ended_ns = NULL")
    connection.close()
    thin_all(path, Retention(keep_days=30), wall_ns=now_ns, active=len(walls))
    with MetricsStore(path) as store:
        return [session.id for session in store.sessions()]


@pytest.mark.parametrize(
    ("walls", "now_ns"),
    [
        ([WALL_NS, WALL_NS + 14 * YEAR_NS], WALL_NS + 14 * YEAR_NS),
        ([WALL_NS, WALL_NS], WALL_NS + 14 * YEAR_NS),
        ([0, WALL_NS], WALL_NS),
        ([WALL_NS, 1, WALL_NS + DAY_NS], WALL_NS + DAY_NS),
        ([WALL_NS, WALL_NS - 200 * DAY_NS, WALL_NS + DAY_NS], WALL_NS + DAY_NS),
        ([WALL_NS, WALL_NS + 14 * YEAR_NS, WALL_NS + DAY_NS], WALL_NS + DAY_NS),
        ([WALL_NS, WALL_NS + 14 * YEAR_NS, WALL_NS + 14 * YEAR_NS + 1], WALL_NS + 14 * YEAR_NS + DAY_NS),
    ],
    ids=[
        "2040 now", "2040 during the session", "1970 before", "1970 between", "200 days back between",
        "2040 between", "2040 twice",
    ],
)  # fmt: skip
def test_a_clock_that_is_wrong_by_years_deletes_no_session(tmp_path, walls, now_ns):
    found = ids_after(tmp_path / "store.sqlite", walls, now_ns=now_ns)
    assert found == [f"s{number}" for number in range(len(walls))]


def test_pauses_add_up_although_the_clock_was_wrong_between(tmp_path):
    walls = [WALL_NS, WALL_NS + 14 * YEAR_NS, WALL_NS + 20 * DAY_NS, WALL_NS + 55 * DAY_NS]
    found = ids_after(tmp_path / "store.sqlite", walls, now_ns=WALL_NS + 55 * DAY_NS)
    assert found == ["s3"], "35 days after all the others"


def test_the_first_days_of_a_long_session_that_was_killed_count_after_they_are_deleted(tmp_path):
    walls = [WALL_NS, WALL_NS + 61 * DAY_NS]
    with MetricsStore(tmp_path / "store.sqlite") as store:
        store._wall_ns = lambda: walls[0]
        SyntheticSession(num_ticks=2, start_ns=60 * DAY_NS).play(store.instrument(store.begin_session()))
        store._wall_ns = lambda: walls[1]
        store.begin_session(name="now")
    connection = store_schema.connect(tmp_path / "store.sqlite")
    with connection:
        connection.execute("UPDATE sessions SET ended_ns = NULL")
    connection.close()
    thin_all(store.path, Retention(keep_days=30), wall_ns=walls[1], active=2)
    with MetricsStore(tmp_path / "store.sqlite") as store:
        assert len(store.sessions()) == 2, "its last tick is a day old"


def test_a_clock_that_moved_is_one_log_line(tmp_path):
    path, later_ns = tmp_path / "store.sqlite", WALL_NS + 14 * YEAR_NS
    ids_after(path, [WALL_NS, later_ns, later_ns + DAY_NS], now_ns=later_ns + DAY_NS)
    with capture_logs() as lines:
        thin_all(path, Retention(), wall_ns=later_ns + DAY_NS, active=3)
    assert not lines, "a pause of a day"
    with capture_logs() as lines:
        thin_all(path, Retention(), wall_ns=later_ns, active=2)
    (line,) = lines
    assert "wall clock" in line["event"]
    assert "s0, ended at 2026-11-22" in line["problem"]
