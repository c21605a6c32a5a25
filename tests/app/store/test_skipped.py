"""Why sources were skipped, stored and read back."""

from __future__ import annotations

from dataclasses import replace

from sage.app.report.budget import budget_table
from sage.app.report.skips import skips_table
from sage.app.session.summary import SessionSummary
from sage.app.session.synthetic import SyntheticSession
from sage.app.store.metrics_store import MetricsStore
from sage.app.store.skipped import pack_skipped, with_skipped
from sage.app.terminal.budget import BudgetFigures, WorkFigures, budget_line
from sage.app.terminal.skips import skips_line
from sage.runtime.report import SolvingFacts, SourceFacts, TickReport
from sage.runtime.scheduling.work_facts import WorkFacts

ATTENDED = SourceFacts(name="a", status="running", sequence=1, age_ns=2, is_fresh=True, is_attended=True)
IDLE = replace(ATTENDED, is_fresh=False, is_attended=False, skipped="not due")
BROKEN = replace(IDLE, status="quarantined", skipped="quarantined")
CROWDED = replace(ATTENDED, is_attended=False, skipped="budget")


def test_reasons_return_and_the_expected_ones_take_no_space():
    for sources, is_packed in (((ATTENDED, IDLE, BROKEN), False), ((ATTENDED, CROWDED, BROKEN), True)):
        packed = pack_skipped(sources)
        assert bool(packed) is is_packed
        back = with_skipped([replace(source, skipped="") for source in sources], packed)
        assert repr(back) == repr(sources)  # NaN is not equal to itself


def test_a_row_of_an_earlier_version_has_no_reason_for_a_fresh_source():
    assert with_skipped([replace(CROWDED, skipped="")], ())[0].skipped == ""


def test_the_summary_and_the_store_count_the_same_reasons(tmp_path):
    summary = SessionSummary()
    stream = SolvingFacts(stream="puzzles", level=0, levels=(), skipped="energy")
    work = WorkFacts(name="i.imagine", skipped="mode", work_trust=0.75)
    done = WorkFacts(
        name="i.imagine", num_segments=3, num_made=1, ended=("solved", "budget"), work_trust=0.75
    )
    with MetricsStore(tmp_path / "metrics.db") as store:
        writer = store.instrument(store.begin_session())
        ticks = [item for item in SyntheticSession(num_ticks=12).items() if isinstance(item, TickReport)]
        for tick, report in enumerate(ticks):
            places = [IDLE, replace(BROKEN, name="b"), replace(CROWDED, name="c")]
            if tick < 4:
                places[2] = replace(ATTENDED, name="c")
            facts = replace(
                report.facts, sources=tuple(places), solving=(stream,), work=(done if tick < 4 else work,)
            )
            for instrument in (writer, summary):
                instrument.on_tick(replace(report, facts=facts))
        assert writer.flush(20)
        session = store.session().id
        stored = store.skips(session)
        stored_budget = store.budget(session)
        restored = [store.tick(session, report.facts.tick) for report in ticks]
    assert [report.facts.work for report in restored if report is not None] == [(done,)] * 4 + [(work,)] * 8
    counted = summary.figures().skips
    assert {each.reason: each.by_name for each in counted} == {
        "not due": (("a", 12),),
        "quarantined": (("b", 12),),
        "energy": (("puzzles", 12),),
        "budget": (("c", 8),),
        "mode": (("i.imagine", 8),),
    }
    assert stored == counted
    budget = summary.figures().budget
    assert budget.work == (
        WorkFigures(
            name="i.imagine", num_segments=12, num_made=4, ended=(("solved", 4), ("budget", 4)), trust=0.75
        ),
    )
    assert budget.total == budget.prediction + 12
    assert stored_budget == budget
    assert "i.imagine" in budget_table(stored_budget)
    assert "solved 4, budget 4" in budget_table(stored_budget)
    assert budget_table(BudgetFigures(prediction=5)) == ""
    assert "i.imagine: 4 results (solved 4, budget 4)" in budget_line(budget)
    assert budget_line(BudgetFigures(prediction=5)) == ""
    assert skips_line(counted, num_reasons=1) == "energy 12 (puzzles)"
    page = skips_table(stored)
    assert all(each.reason in page for each in stored)
    assert page.index("quarantined") < page.index("budget")
    assert skips_table(()) == ""
