"""Answers of puzzle streams in the store: their counts, their shares over time, and their thinning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sage.app.session.synthetic import SyntheticSession
from sage.app.store import schema as store_schema
from sage.app.store.metrics_store import Retention
from sage.app.store.thinning import Thinner
from sage.runtime.report import (
    AnswerFacts,
    LevelExamination,
    LevelFacts,
    SleepOutcome,
    SleepReport,
    SolvingFacts,
    TickReport,
)

LEVELS = (LevelFacts(name="sudoku 4x4"), LevelFacts(name="sudoku 6x6"))


def answer(tick: int, level: int, *, is_right: bool, is_abstained: bool = False) -> AnswerFacts:
    return AnswerFacts(
        number=tick,
        level=level,
        is_right=is_right,
        is_abstained=is_abstained,
        decision="allow",
        num_segments=4 if is_right else 8,
        num_calls=1,
        confidence=0.5,
        age_ticks=3,
    )


def puzzling(tick: int, report: TickReport) -> TickReport:
    """An answer of level 0 every second tick, right from tick 100 on; of level 1 every tenth, never right."""
    answers = [answer(tick, 0, is_right=tick >= 100)] if tick % 2 == 0 else []
    if tick % 10 == 0:
        answers.append(answer(tick, 1, is_right=False, is_abstained=True))
    facts = SolvingFacts(stream="puzzles", level=0, levels=LEVELS, answers=tuple(answers))
    return replace(report, facts=replace(report.facts, solving=(facts,)))


@pytest.fixture
def session(store):
    key = store.begin_session()
    writer = store.instrument(key)
    for tick, item in enumerate(
        item for item in SyntheticSession(num_ticks=300).items() if isinstance(item, TickReport)
    ):
        writer.on_tick(puzzling(tick, item))
    assert writer.flush()
    return key


def test_a_level_has_its_counts_and_its_first_and_last_share(store, session):
    easy, hard = store.answers(session)
    assert (easy.stream, easy.name, hard.name) == ("puzzles", "sudoku 4x4", "sudoku 6x6")
    assert easy.num_answers.sum() == 150
    assert easy.num_right.sum() == 100
    assert easy.first_share(50) == 0.0
    assert easy.last_share(50) == 1.0
    assert easy.last_share(200) == pytest.approx(100 / 150)
    assert hard.num_abstained.sum() == 30
    assert hard.confidence.sum() == pytest.approx(15.0)


def test_a_trailing_mean_follows_the_answers_and_has_a_gap_before_the_first(store, session):
    easy, hard = store.answers(session)
    share = easy.trailing_share(np.array([-1, 98, 148, 198, 298]), 50)
    assert np.isnan(share[0])
    assert share[1:].tolist() == pytest.approx([0.0, 0.5, 1.0, 1.0])
    segments = easy.trailing_segments(np.array([-1, 98, 99, 100, 299]), 50)
    assert np.isnan(segments[0])
    assert segments[1:].tolist() == pytest.approx([8.0, 8.0, (49 * 8 + 4) / 50, 4.0])
    assert (hard.trailing_share(np.array([50, 299]), 50) == 0).all()


def test_thinning_loses_no_answer(store, session):
    before = store.answers(session)
    store.close()
    connection = store_schema.connect(store.path)
    thinner = Thinner(Retention(levels=((2.0, 1.0),)), lambda: 0)
    while thinner.step(connection, None):
        pass
    connection.close()
    after = store.answers(session)
    for old, new in zip(before, after):
        assert len(new.ticks) < len(old.ticks)
        assert new.num_answers.sum() == old.num_answers.sum()
        assert new.num_right.sum() == old.num_right.sum()
        assert new.num_segments.sum() == old.num_segments.sum()
    assert after[0].last_share(20) == 1.0


def test_a_night_of_a_stream_comes_back_with_its_levels(store, session):
    night = SleepReport(
        outcome=SleepOutcome.ACCEPTED,
        reason="better",
        tick=100,
        num_replayed=10,
        num_examined=20,
        num_steps=30,
        stream="puzzles",
        levels=(
            LevelExamination(level="sudoku 4x4", num=20, before=0.5, after=0.75, gain_low=0.1, gain_high=0.4),
        ),
    )
    writer = store.instrument(session)
    writer.on_sleep(night)
    assert writer.flush()
    (found,) = store.sleeps(session)
    assert (found.stream, found.levels) == (night.stream, night.levels)
