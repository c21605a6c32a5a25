"""The metrics store: complete reports, unique names, concurrent readers."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from sage.app.session.synthetic import SOURCES, SyntheticSession
from sage.app.store.metrics_store import MetricsStore
from sage.app.terminal.errors import UserError
from sage.runtime.report import ActingFacts, TickReport, to_plain
from sage.runtime.scheduling.energy_facts import EnergyFacts

WALL_NS = 1_795_305_600_000_000_000


def test_every_fact_of_every_tick_is_restored(store, record):
    feed = SyntheticSession(num_ticks=120)
    session = record(store, feed)
    reports = [item for item in SyntheticSession(num_ticks=120).items() if isinstance(item, TickReport)]
    for report in reports:
        restored = store.tick(session, report.facts.tick)
        assert restored is not None
        assert restored.facts.digest() == report.facts.digest()
        assert restored.timing == report.timing
        assert restored.facts.posture == report.facts.posture
        assert restored.facts.actions == report.facts.actions


def test_what_a_world_earned_is_restored(store):
    (report,) = [item for item in SyntheticSession(num_ticks=1).items() if isinstance(item, TickReport)]
    worlds = (
        ActingFacts(world="cart", reward=1.0, reset=1.0, num_episodes=3, episode_return=7.0, last_return=7.0),
        ActingFacts(world="grid"),
    )
    report = dataclasses.replace(report, facts=dataclasses.replace(report.facts, acting=worlds))
    session = store.begin_session()
    writer = store.instrument(session)
    writer.on_tick(report)
    assert writer.flush()
    restored = store.tick(session, report.facts.tick)
    assert to_plain(restored.facts.acting[0]) == to_plain(worlds[0])  # NaN is null in both
    assert restored.facts.acting[1].world == "grid"
    assert restored.facts.digest() == report.facts.digest()


def test_energy_and_the_reasons_of_skipped_sources_are_restored(store):
    (report,) = [item for item in SyntheticSession(num_ticks=1).items() if isinstance(item, TickReport)]
    energy = EnergyFacts(supply=10, available=4, allocated=1, spent=3, reserve=2, charged=3)
    first, *others = report.facts.sources
    sources = (dataclasses.replace(first, is_attended=False, skipped="cap"), *others)
    report = dataclasses.replace(
        report, facts=dataclasses.replace(report.facts, energy=energy, sources=sources)
    )
    session = store.begin_session()
    writer = store.instrument(session)
    writer.on_tick(report)
    assert writer.flush()
    restored = store.tick(session, report.facts.tick)
    assert restored.facts.energy == energy
    assert restored.facts.sources[0].skipped == "cap"
    assert restored.facts.digest() == report.facts.digest()


def test_sleeps_and_events_are_restored(store, record):
    session = record(store, SyntheticSession(num_ticks=100))
    accepted, rolled_back = store.sleeps(session)
    assert (accepted.outcome, accepted.tick, accepted.gain_low) == ("accepted", 40, pytest.approx(0.07))
    assert rolled_back.outcome == "rolled_back"
    events = store.events(session)
    assert [event.kind for event in events] == ["session", "quarantine", "recovered"]
    assert events[1].data == (("num_faults", 3),)
    assert [event.kind for event in store.events(session, limit=1)] == ["recovered"]


def test_two_equal_runs_show_no_difference_and_a_changed_one_shows_where(store, record):
    first = record(store, SyntheticSession(num_ticks=50))
    second = record(store, SyntheticSession(num_ticks=50))
    other = record(store, SyntheticSession(num_ticks=50, seed=1))
    assert store.first_difference(first, second) is None
    assert store.first_difference(first, other) == 0


def test_a_session_has_a_readable_unique_name_and_its_environment(store, record):
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


def test_the_latest_session_is_the_last_one_that_began_whatever_the_clock_was(tmp_path):
    """A machine without a clock of its own begins a session before the network has set the time."""
    path = tmp_path / "metrics.sqlite"
    for name, wall_ns in (("ahead", WALL_NS + 10**15), ("right", WALL_NS), ("behind", 10**9)):
        with MetricsStore(path, wall_ns=lambda wall_ns=wall_ns: wall_ns) as store:
            store.begin_session(name=name)
            assert store.session().id == name
    with MetricsStore(path, must_exist=True) as store:
        assert [session.id for session in store.sessions()] == ["ahead", "right", "behind"]


def test_another_process_reads_during_writing(store, record):
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
