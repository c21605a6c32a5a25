"""The data of the page: bands of equal states, and skill before and after a night."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sage.app.config.state_dir import STORE_NAME
from sage.app.report.data import bands, collect
from sage.app.session.summary import SessionSummary
from sage.app.session.synthetic import SyntheticSession
from sage.app.store.metrics_store import MetricsStore
from sage.runtime.report import SleepOutcome, SleepReport, TickReport


def test_a_night_ends_before_the_first_tick_of_the_new_weights(tmp_path):
    """The report of a night has the tick of its start; the split of before and after is at its end."""
    feed = [
        item
        for item in SyntheticSession(num_ticks=40, sources=("one",)).items()
        if isinstance(item, TickReport)
    ]
    night = SleepReport(
        outcome=SleepOutcome.ACCEPTED, reason="", tick=10, num_replayed=9, num_examined=9, num_steps=9
    )
    summary = SessionSummary()
    with MetricsStore(tmp_path / STORE_NAME) as store:
        writer = store.instrument(store.begin_session())
        for tick, report in enumerate(feed):
            (source,) = report.facts.sources
            source = replace(source, error=1.0 if tick <= 19 else 0.25, persistence_error=1.0)
            report = replace(report, facts=replace(report.facts, sources=(source,)))
            for instrument in (writer, summary):
                instrument.on_tick(report)
                if tick == 19:
                    instrument.on_sleep(night)
        assert writer.flush(20)
        data = collect(store, store.session())
    for skill in (data.skills["one"], summary.figures().sources[0].skill):
        assert skill.before_sleep == pytest.approx(0.0)
        assert skill.after_sleep == pytest.approx(0.75)
    assert data.sleep_secs == (float(data.times_secs[19]),)


def test_equal_neighbours_are_one_band():
    found = bands(np.array([0.0, 1.0, 2.0, 3.0]), ["wake", "wake", None, "dream"], 4.0)
    assert [(band.start_secs, band.end_secs, band.state) for band in found] == [
        (0.0, 2.0, "wake"),
        (3.0, 4.0, "dream"),
    ]
