"""The summary: figures of scored readings only, in constant memory, a dash where nothing was measured."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from sage.app.session.summary import SessionSummary
from sage.app.session.summary_text import print_summary
from sage.app.session.synthetic import SyntheticSession
from sage.app.terminal import figures
from sage.app.terminal.tick_times import LogHistogram
from sage.runtime.report import NAN, Event, SleepOutcome, SleepReport, SourceFacts, State, TickReport


def scored(error: float, persistence: float, skip: float = NAN) -> SourceFacts:
    return SourceFacts(
        name="imu", status="running", sequence=0, age_ns=0, is_fresh=True, is_attended=True,
        error=error, persistence_error=persistence, skip_error=skip,
    )  # fmt: skip


def reports(num_ticks: int, **options) -> list[TickReport]:
    return [
        item
        for item in SyntheticSession(num_ticks=num_ticks, **options).items()
        if isinstance(item, TickReport)
    ]


def printed(summary: SessionSummary, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_summary(summary.figures(), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_before_is_up_to_the_first_night_and_after_is_since_the_last():
    summary = SessionSummary()
    feed = reports(30, sources=("imu",))
    night = SleepReport(
        outcome=SleepOutcome.ACCEPTED, reason="", tick=0, num_replayed=1, num_examined=1, num_steps=1
    )
    errors = {0: 1.0, 10: 0.7, 20: 0.5}
    for tick, report in enumerate(feed):
        if tick in (10, 20):
            summary.on_sleep(night)
            summary.on_sleep(replace(night, outcome=SleepOutcome.SKIPPED))
        error = errors[tick // 10 * 10]
        summary.on_tick(replace(report, facts=replace(report.facts, sources=(scored(error, 1.0),))))
    skill = summary.figures().sources[0].skill
    assert skill.before_sleep == pytest.approx(0.0)
    assert skill.after_sleep == pytest.approx(0.5)
    assert skill.overall == pytest.approx(1 - 2.2 / 3)
    assert summary.figures().num_sleeps == 4


def test_without_a_night_there_is_no_before_and_no_after():
    summary = SessionSummary()
    for report in reports(20):
        summary.on_tick(report)
    assert np.isnan(summary.figures().skill.before_sleep)
    assert np.isnan(summary.figures().skill.after_sleep)


def test_a_session_that_ends_during_a_night_is_marked():
    summary = SessionSummary()
    last = reports(3)[-1]
    summary.on_tick(replace(last, facts=replace(last.facts, state=State.DREAM)))
    summary.on_sleep(
        SleepReport(
            outcome=SleepOutcome.SKIPPED,
            reason="too little yet",
            tick=0,
            num_replayed=0,
            num_examined=0,
            num_steps=0,
        )
    )
    assert summary.figures().is_asleep
    assert "1: 1 skipped (too little yet), one unfinished at the end of the session" in printed(
        summary, width=200
    )


def test_a_session_cut_short_in_its_first_night_has_no_count_of_sleeps():
    summary = SessionSummary()
    last = reports(3)[-1]
    summary.on_tick(replace(last, facts=replace(last.facts, state=State.DREAM)))
    assert "sleep       one unfinished at the end of the session" in printed(summary, width=200)


def test_the_session_adds_up():
    summary = SessionSummary()
    SyntheticSession(num_ticks=600).play(summary)
    got = summary.figures()
    feed = reports(600)
    assert got.num_ticks == 600
    assert got.tick_hz == pytest.approx(20.0)
    assert got.duration_secs == pytest.approx(29.95)
    assert got.num_overruns == sum(report.timing.is_overrun for report in feed)
    assert got.tick_p50_ns == pytest.approx(np.median([report.timing.total_ns for report in feed]), rel=0.02)
    assert got.overhead_p99_ns == pytest.approx(
        np.quantile([report.timing.overhead_ns for report in feed], 0.99), rel=0.15
    )
    camera = got.sources[1]
    assert (camera.name, camera.num_faults, camera.status) == ("camera.front", 3, "running")
    assert camera.num_readings == sum(report.facts.sources[1].is_fresh for report in feed)
    assert got.skill.last_third > got.skill.first_third
    assert dict(got.num_events) == {"session": 1, "quarantine": 1, "recovered": 1}


def timed(report: TickReport, state: State, total_ns: int) -> TickReport:
    timing = replace(report.timing, total_ns=total_ns, model_ns=0)
    return replace(report, facts=replace(report.facts, state=state), timing=timing)


def test_ticks_during_nights_have_a_percentile_beside_that_of_the_others():
    feed = reports(300)
    summary = SessionSummary()
    for index, report in enumerate(feed):
        is_night = index >= 200
        summary.on_tick(
            timed(report, State.DREAM if is_night else State.WAKE, (9 if is_night else 6) * 10**6)
        )
    ticks = summary.figures().night_ticks
    assert (ticks.num_night, ticks.num_waking) == (100, 200)
    assert ticks.night_p99_ns == pytest.approx(9e6, rel=0.02)
    assert ticks.waking_p99_ns == pytest.approx(6e6, rel=0.02)
    night, waking = (figures.millis(each) for each in (ticks.night_p99_ns, ticks.waking_p99_ns))
    assert f"(during nights {night} of 100 ticks, else {waking} of 200)" in printed(summary, width=300)


def test_without_a_night_the_line_of_tick_times_has_one_percentile():
    summary = SessionSummary()
    for report in reports(5):
        summary.on_tick(timed(report, State.REST, 6 * 10**6))
    assert "during nights" not in printed(summary, width=300)
    assert summary.as_dict()["night_ticks"]["night_p99_ns"] is None


def test_quantiles_are_right_to_two_percent():
    histogram = LogHistogram()
    values = np.random.default_rng(0).lognormal(15, 1, 5000).astype(int)
    for value in values:
        histogram.add(int(value))
    for share in (0.5, 0.9, 0.99):
        assert histogram.quantile(share) == pytest.approx(np.quantile(values, share), rel=0.02)


def test_as_dict_is_json_with_null_for_the_undefined():
    summary = SessionSummary()
    for report in reports(5):
        summary.on_tick(report)
    parsed = json.loads(json.dumps(summary.as_dict(), allow_nan=False))
    assert parsed["coherence"]["coherence"] is None
    assert parsed["skill"]["after_sleep"] is None
    assert parsed["ticks_in_state"] == {"wake": 5}


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_text_names_every_figure_within_the_width(width):
    summary = SessionSummary()
    SyntheticSession(num_ticks=600).play(summary)
    text = printed(summary, width)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    for expected in ("coherence", "practice", "imu", "rolled back", "+12.0%"):
        assert expected in text


def test_a_session_of_nothing_is_dashes_not_zeros_and_not_nan():
    text = printed(SessionSummary())
    assert f"0 ticks at {figures.DASH} Hz" in text
    assert "nan" not in text


def test_markup_in_a_name_or_a_reason_is_text():
    summary = SessionSummary()
    (report,) = reports(1)
    source = replace(scored(1.0, 1.0), name="[red]x[/red]", reason="[/nothing]", status="quarantined")
    summary.on_tick(replace(report, facts=replace(report.facts, sources=(source,))))
    assert "[red]x[/red]" in printed(summary, 160)


def test_the_skill_of_the_session_leaves_out_the_clock_and_recall():
    (report,) = reports(1)
    sources = (scored(0.5, 1.0), replace(scored(0.0, 9.0), name="clock"))
    summary = SessionSummary(temporal=("clock",))
    summary.on_tick(replace(report, facts=replace(report.facts, sources=sources)))
    figures = summary.figures()
    assert figures.skill.overall == pytest.approx(0.5)
    assert [source.is_physical for source in figures.sources] == [True, False]
    assert "50% below that of repeating the last reading" in figures.verdict
    assert "all physical sources" in printed(summary)


def test_missing_sensors_are_in_the_text_and_in_the_json():
    reason = "gpu: no GPU found; remove 'gpu' from `read` or set `optional: true`"
    summary = SessionSummary(missing=[("gpu", reason)])
    assert "gpu (no GPU found)" in printed(summary)
    assert summary.as_dict()["missing"] == {"gpu": reason}


def test_events_are_named_in_words():
    summary = SessionSummary()
    for kind in ("source", "source", "quarantine"):
        summary.on_event(Event(kind=kind, tick=0))
    assert "2 source status changes, 1 quarantine" in printed(summary)


def test_no_figure_without_a_scale_is_in_the_text():
    summary = SessionSummary()
    (report,) = reports(1)
    learning = replace(report.facts.learning, loss=3203.009)
    summary.on_tick(replace(report, facts=replace(report.facts, learning=learning)))
    assert "3203" not in printed(summary)
    assert "loss" not in printed(summary)


def test_salience_that_still_warms_up_at_the_end_is_in_the_text() -> None:
    summary = SessionSummary()
    (report,) = reports(1)
    for num_missing, text in ((31, "salience: warming up, 1 of 32 ticks"), (0, "")):
        memory = replace(report.facts.memory, num_missing=num_missing)
        summary.on_tick(replace(report, facts=replace(report.facts, memory=memory)))
        shown = " ".join(printed(summary).split())
        assert ("warming up" in shown) == bool(text)
        assert text in shown


def test_the_sidecar_is_compared_with_the_value_head_where_both_are_known() -> None:
    summary = SessionSummary()
    first, second, last = reports(3)
    for report, errors in ((first, (0.5, 1.0)), (second, (NAN, NAN)), (last, (0.25, 2.0))):
        sidecar, value = errors
        memory = replace(
            report.facts.memory, num_bound=7, sidecar_error=sidecar, value_error=value, sidecar_share=0.75
        )
        summary.on_tick(replace(report, facts=replace(report.facts, memory=memory)))
    found = summary.figures().sidecar
    assert (found.num_bound, found.sidecar_error, found.value_error, found.share) == (7, 0.375, 1.5, 0.75)
    assert "0.375" in printed(summary)
    assert "sidecar" not in printed(SessionSummary())
