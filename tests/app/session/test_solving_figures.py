"""What a session learned to solve: shares of its first and last answers by level; what a night changed."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from sage.app.live.screen import draw, status_line
from sage.app.live.state import LiveState
from sage.app.session.solving_figures import SolvingTally, learned_lines
from sage.app.session.summary import SessionSummary
from sage.app.session.summary_text import print_summary
from sage.app.session.synthetic import SyntheticSession
from sage.app.store.metrics_store import MetricsStore
from sage.runtime.report import (
    AnswerFacts,
    LevelExamination,
    LevelFacts,
    SleepOutcome,
    SleepReport,
    SolvingFacts,
    TickReport,
)


def answer(number: int, *, is_right: bool, level: int = 0) -> AnswerFacts:
    return AnswerFacts(
        number=number, level=level, is_right=is_right, is_abstained=False, decision="allow", num_segments=4,
        num_calls=1, confidence=0.5, age_ticks=2, num_open=(16, 3, 0, 0),
    )  # fmt: skip


def facts(*answers: AnswerFacts, **changes: object) -> SolvingFacts:
    levels = (LevelFacts(name="4x4", num_answered=70, num_right=40, recent=0.5), LevelFacts(name="6x6"))
    given = {"stream": "puzzles", "level": 1, "levels": levels, "answers": answers, "num_steps": 1234}
    return SolvingFacts(**{**given, **changes})


NIGHT = SleepReport(
    outcome=SleepOutcome.ACCEPTED, reason="better", tick=5, num_replayed=9, num_examined=9, num_steps=9,
    stream="puzzles",
    levels=(LevelExamination(level="4x4", num=80, before=0.9, after=0.95, gain_low=0.01, gain_high=0.09),),
)  # fmt: skip


def tally_of_seventy() -> SolvingTally:
    tally = SolvingTally()
    for number in range(70):
        tally.add(facts(answer(number, is_right=number >= 40)))
    return tally


def test_experiences_that_are_lost_at_the_end_are_counted():
    tally = tally_of_seventy()
    tally.note_lost("puzzles", 9)
    tally.note_lost("of no answer", 9)
    (stream,) = tally.figures()
    assert stream.num_lost == 9


def test_the_first_and_the_last_answers_are_compared():
    (stream,) = tally_of_seventy().figures()
    level = stream.levels[0]
    assert (level.num_answered, level.num_right, level.num_first, level.num_last) == (70, 30, 50, 50)
    assert level.first == pytest.approx(0.2)
    assert level.last == pytest.approx(0.6)
    assert level.num_segments == pytest.approx(4)
    assert stream.levels[1].num_answered == 0


def test_the_lines_say_what_it_learned_and_what_the_night_changed():
    tally = tally_of_seventy()
    tally.add(facts(answer(70, is_right=True, level=1)))
    tally.note_held_out("puzzles", 0, 200, 198)
    lines = list(learned_lines(tally.figures()[0], [NIGHT]))
    assert lines[0] == (
        "4x4: 20% right of the first 50 answers, 60% of the last 50, of 70; 99.0% of 200 held-out puzzles"
    )
    assert lines[1] == "6x6 begun: 100% right of 1 answers"
    assert lines[2] == "the night (accepted) changed 4x4 by +5.0 points (+1.0 to +9.0, of 80)"
    rolled_back = replace(NIGHT, outcome=SleepOutcome.ROLLED_BACK)
    assert "would have changed" in list(learned_lines(tally.figures()[0], [NIGHT, rolled_back]))[2]
    skipped = replace(NIGHT, outcome=SleepOutcome.SKIPPED, levels=(), reason="too little yet")
    lines = list(learned_lines(tally.figures()[0], [skipped]))
    assert lines[2] == "nights: none examined (skipped: too little yet)"
    assert not [line for line in learned_lines(tally.figures()[0], []) if "night" in line]


def solving_session() -> list[TickReport]:
    ticks = [item for item in SyntheticSession(num_ticks=60).items() if isinstance(item, TickReport)]
    return [
        replace(report, facts=replace(report.facts, solving=(facts(answer(number, is_right=True)),)))
        for number, report in enumerate(ticks)
    ]


def test_the_summary_begins_with_what_was_learned():
    summary = SessionSummary()
    for report in solving_session():
        summary.on_tick(report)
    summary.on_sleep(NIGHT)
    summary.note_held_out("puzzles", 0, 200, 200)
    console = Console(file=io.StringIO(), width=160)
    print_summary(summary.figures(), console)
    first = console.file.getvalue().strip().splitlines()[0]
    assert first.startswith("puzzles")
    assert "100% of the last 50" in first
    assert "100.0% of 200 held-out" in first
    assert summary.as_dict()["solving"][0]["levels"][0]["held_out"] == 1.0


def test_the_live_view_shows_the_levels():
    state = LiveState()
    for report in solving_session():
        state.take(report)
    screen = draw(state, Console(width=120, height=50).size).plain
    assert "4x4 50% of the last 50" in screen
    assert "cells changed by segment of the last answer: 16 3 0 0" in screen
    assert "4x4 50% right" in status_line(state)


def test_a_stored_tick_is_read_back_with_its_solving_facts(tmp_path):
    reports = solving_session()
    with MetricsStore(tmp_path / "metrics.sqlite", flush_secs=0.01) as store:
        session = store.begin_session()
        writer = store.instrument(session)
        for report in reports:
            writer.on_tick(report)
        assert writer.flush()
        stored = store.tick(session, reports[7].facts.tick)
    assert stored is not None
    assert stored.facts.solving[0].answers == reports[7].facts.solving[0].answers
    assert stored.facts.digest() == reports[7].facts.digest()
