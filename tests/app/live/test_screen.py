"""The screen: every size, every source with its figures, plain text only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rich.console import ConsoleDimensions

from sage.app.live.screen import draw, status_line
from sage.app.live.state import LiveState
from sage.app.session.synthetic import SyntheticSession
from sage.mailbox import Hub
from sage.mailbox.clock import ManualClock
from sage.runtime.report import State, TickReport
from sage.runtime.scheduling.work_facts import WorkFacts


def state_after(num_ticks: int, upto: int | None = None, **options) -> LiveState:
    state = LiveState(title="2026-11-22-quiet-otter")
    for item in SyntheticSession(num_ticks=num_ticks, **options).items():
        state.take(item)
        if isinstance(item, TickReport) and item.facts.tick == upto:
            break
    return state


@pytest.fixture(scope="module")
def crowded() -> LiveState:
    return state_after(300, sources=tuple(f"source.with.a.long.name.{number}" for number in range(20)))


@pytest.mark.parametrize("width", [20, 32, 40, 60, 80, 100, 120, 250])
@pytest.mark.parametrize("height", [3, 8, 14, 24, 40, 100])
def test_the_screen_is_never_overrun(width, height, crowded):
    state = crowded
    lines = draw(state, ConsoleDimensions(width, height)).split("\n")
    assert len(lines) <= height
    assert max(line.cell_len for line in lines) <= max(20, width)


def test_at_80_columns_every_source_has_its_figures():
    screen = draw(state_after(600), ConsoleDimensions(80, 24)).plain
    for expected in (
        "WAKE",
        "20.0 Hz",
        "camera.front",
        "trust",
        "surprise",
        "skill",
        "drops",
        "faults",
        "chance",
        "recurrent correction",
        "rolled back",
    ):
        assert expected in screen
    assert "+0." in screen


def test_salience_that_warms_up_is_shown_only_while_it_does():
    state = state_after(60)
    assert "warming up" not in draw(state, ConsoleDimensions(120, 40)).plain
    facts = state.report.facts
    memory = replace(facts.memory, num_missing=20)
    state.take(replace(state.report, facts=replace(facts, memory=memory)))
    assert "salience: warming up, 12 of 32 ticks" in draw(state, ConsoleDimensions(120, 40)).plain


def test_a_quarantined_source_has_its_reason_below():
    screen = draw(state_after(600, upto=300), ConsoleDimensions(80, 24)).plain
    assert "quarantined: read_into raised OSError" in screen


def test_sources_that_do_not_fit_are_counted():
    state = state_after(100, sources=tuple(f"s{number}" for number in range(30)))
    assert "more" in draw(state, ConsoleDimensions(80, 24)).plain


def test_text_of_a_plugin_is_one_line_without_control_characters():
    state = state_after(10)
    source = state.sources["imu"]
    source.facts = replace(source.facts, reason="first\nsecond\x1b[31m [bold]third", status="quarantined")
    screen = draw(state, ConsoleDimensions(120, 40))
    assert "first second [31m [bold]third" in screen.plain
    assert "\x1b" not in screen.plain


def test_before_the_first_tick_the_view_is_waiting():
    assert "waiting" in draw(LiveState(), ConsoleDimensions(80, 24)).plain
    assert "waiting" in status_line(LiveState())


def test_notices_are_shown():
    state = state_after(20)
    state.notices = ("store: disk is full, 12 reports dropped",)
    assert "disk is full" in draw(state, ConsoleDimensions(80, 24)).plain
    assert "disk is full" in status_line(state)


def test_a_sleep_in_progress_is_shown_with_and_without_an_earlier_one():
    young, old = state_after(300, upto=9), state_after(600)
    assert young.sleep is None
    assert old.sleep is not None
    for state, expected in ((young, "in progress"), (old, "in progress; the last: ")):
        assert state.report is not None
        state.report = replace(state.report, facts=replace(state.report.facts, state=State.DREAM))
        assert expected in draw(state, ConsoleDimensions(100, 30)).plain


def test_the_screen_shows_what_went_through_the_mailboxes():
    state = state_after(30)
    with Hub(ManualClock()) as hub:
        box = hub.focus("camera", slot_bytes=1 << 20)
        with box.loan((1 << 18,)) as loan:
            loan.publish(stamp_ns=0, sequence=0)
        box.send(np.zeros(4), stamp_ns=1, sequence=1)
        lease = box.receive(timeout_secs=0.0)
        state.mailboxes = hub.snapshot()
        lease.release()
    screen = draw(state, ConsoleDimensions(100, 30)).plain
    assert "mailboxes  1  2 messages  1.0 MiB by reference, 32 B copied  0 dropped" in screen


def test_posture_and_what_effectors_did_are_shown():
    state = state_after(30)
    report = state.report
    assert report is not None
    action = report.facts.actions[0]
    others = (
        replace(action, effector="arm", decision="allow", is_held=False),
        replace(action, effector="hand", decision="allow", limited_by=()),
        replace(action, effector="lamp", is_dry=True),
    )
    facts = replace(report.facts, actions=(action, *others))
    state.report = replace(report, facts=facts)
    shown = draw(state, ConsoleDimensions(100, 60)).plain
    assert "breadth 0.80, starved: vision" in shown
    for text in (
        "recorder: denied: not allowed",
        "arm: limited by slew",
        "lamp: dry run",
        "1 as proposed",
    ):
        assert text in shown


def test_segments_of_devices_are_shown_with_the_reasons_of_ticks_without():
    state = state_after(30)
    report = state.report
    assert report is not None
    assert "segments" not in draw(state, ConsoleDimensions(100, 60)).plain
    done = WorkFacts(name="notes.imagine", num_segments=1_000, num_made=2, work_trust=0.75)
    none = WorkFacts(name="notes.imagine", work_trust=0.75, skipped="budget")
    late = WorkFacts(name="other.imagine", skipped="not due")
    for work in ((done,), (none,), (done, late), (none, late)):
        state.take(replace(report, facts=replace(report.facts, work=work)))
    shown = draw(state, ConsoleDimensions(100, 60)).plain
    assert "work       notes.imagine: 2,000 segments, 4 results, trust 0.75, ticks without: budget 2" in shown
    assert "           other.imagine: 0 segments, 0 results, ticks without: not due 2" in shown
