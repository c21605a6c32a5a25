"""Sense and gather: the freshest lease of each source, its record beside it, and everything given back."""

from __future__ import annotations

import numpy as np

from sage.mailbox.clock import ManualClock


def test_only_a_source_with_a_new_reading_is_fresh(start, settings):
    clock = ManualClock()
    senses = start(settings(), clock=clock).loop.senses
    gathered = senses.gather()
    assert not gathered.fresh.any()
    assert gathered.captured_ns.tolist() == [-1, -1, -1]
    gathered.release()
    senses.sense(clock.now_ns())
    gathered = senses.gather()
    assert gathered.fresh[:2].all()
    assert np.isfinite(gathered.confidence[:2]).all()
    gathered.release()
    gathered.release()


def test_of_many_readings_only_the_newest_is_taken(start, settings):
    clock = ManualClock()
    senses = start(settings(), clock=clock).loop.senses
    clock.advance(500_000_000)
    for _ in range(12):
        senses.sense(clock.now_ns())
    gathered = senses.gather()
    assert gathered.captured_ns[0] == 500_000_000
    assert gathered.statistics[0].sequence == 10
    gathered.release()


def test_all_leases_of_a_hundred_ticks_are_released(start, settings):
    """Four slots a source: one lease kept back a tick would stop it at the fifth."""
    run = start(settings(practice={"enabled": False}))
    reports = []
    for _ in range(100):
        reports.append(run.loop.tick())
        run.loop.clock.advance(50_000_000)
    assert all(
        source.is_fresh
        for report in reports[1:]
        for source in report.facts.sources
        if source.name in ("s0", "s1")
    )
