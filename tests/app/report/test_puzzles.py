"""Puzzle streams on the report's page: the solve curve, the levels, and what nights kept and lost."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from sage.app.config.state_dir import STORE_NAME
from sage.app.report.puzzles import forgetting_tables, puzzle_plots
from sage.app.report.write import write_report
from sage.app.session.synthetic import SyntheticSession
from sage.app.store.metrics_store import LevelHistory, MetricsStore
from sage.runtime.report import (
    AnswerFacts,
    LevelExamination,
    LevelFacts,
    SleepOutcome,
    SleepReport,
    SolvingFacts,
    TickReport,
)

ATTACK = "<img src=x onerror=alert(1)>"


def night(outcome: SleepOutcome, *levels: tuple[str, float, float]) -> SleepReport:
    return SleepReport(
        outcome=outcome,
        reason="",
        tick=0,
        num_replayed=1,
        num_examined=9,
        num_steps=5,
        stream="puzzles",
        levels=tuple(
            LevelExamination(level=name, num=9, before=before, after=after) for name, before, after in levels
        ),
    )


def test_a_night_that_is_rolled_back_leaves_the_shares_before_it():
    (table,) = forgetting_tables(
        [
            night(SleepOutcome.ACCEPTED, ("4x4", 0.5, 0.9)),
            night(SleepOutcome.ROLLED_BACK, ("4x4", 0.9, 0.2), ("6x6", 0.1, 0.0)),
            night(SleepOutcome.ACCEPTED, ("4x4", 0.9, 0.8), ("6x6", 0.1, 0.6)),
        ]
    )
    assert table.levels == ("4x4", "6x6")
    assert [row[0] for row in table.shares] == [0.5, 0.9, 0.9, 0.8]
    assert table.forgotten[0] == pytest.approx(0.1)
    assert table.forgotten[1] == 0.0
    assert math.isnan(table.shares[0][1])
    assert "rolled back" in table.rows[2]


def test_reports_of_the_observation_model_make_no_table():
    assert forgetting_tables([replace(night(SleepOutcome.ACCEPTED), stream="")]) == ()


def test_the_page_has_the_curve_and_every_name_as_text(tmp_path):
    with MetricsStore(tmp_path / STORE_NAME, flush_secs=0.01) as store:
        writer = store.instrument(store.begin_session())
        for tick, item in enumerate(SyntheticSession(num_ticks=200).items()):
            if not isinstance(item, TickReport):
                continue
            facts = AnswerFacts(
                number=tick,
                level=0,
                is_right=tick > 100,
                is_abstained=False,
                decision="allow",
                num_segments=3,
                num_calls=1,
                confidence=0.9,
                age_ticks=2,
            )
            solving = SolvingFacts(stream="s", level=0, levels=(LevelFacts(name=ATTACK),), answers=(facts,))
            writer.on_tick(replace(item, facts=replace(item.facts, solving=(solving,))))
        writer.on_sleep(night(SleepOutcome.ACCEPTED, (ATTACK, 0.5, 0.9)))
        assert writer.flush()
    page = write_report(tmp_path).read_text()
    assert 'data-plot="solved"' in page
    assert "held-out puzzles solved" in page
    assert ATTACK not in page
    assert "50.0% → 90.0%" in page


def test_the_plot_of_segments_has_values_where_answers_come_every_sixteen_ticks():
    answers = np.arange(16, 1400, 16)
    ones = np.ones(len(answers), np.int64)
    level = LevelHistory(
        stream="s", name="4x4", ticks=answers, num_answers=4 * ones, num_right=ones, num_abstained=0 * ones,
        num_segments=64 * ones, confidence=ones.astype(float),
    )  # fmt: skip
    segments = puzzle_plots((level,), np.arange(1400))[1].lines[0].values
    assert np.isnan(segments[:16]).all()
    assert (segments[16:] == 16).all()


def test_a_session_without_puzzles_has_no_section_of_them(tmp_path):
    with MetricsStore(tmp_path / STORE_NAME, flush_secs=0.01) as store:
        writer = store.instrument(store.begin_session())
        SyntheticSession(num_ticks=20).play(writer)
        assert writer.flush()
    assert 'data-plot="solved"' not in write_report(tmp_path).read_text()
