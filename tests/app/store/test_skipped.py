"""Why sources were skipped, stored and read back."""

from __future__ import annotations

from dataclasses import replace

from sage.app.report.skips import skips_table
from sage.app.session.summary import SessionSummary
from sage.app.session.synthetic import SyntheticSession
from sage.app.store.metrics_store import MetricsStore
from sage.app.store.skipped import pack_skipped, with_skipped
from sage.app.terminal.skips import skips_line
from sage.runtime.report import SolvingFacts, SourceFacts, TickReport

ATTENDED = SourceFacts(name="a", status="running", sequence=1, age_ns=2, is_fresh=True, is_attended=True)
IDLE = replace(ATTENDED, is_fresh=False, is_attended=False, skipped="not due")
BROKEN = replace(IDLE, status="quarantined", skipped="quarantined")
CROWDED = replace(ATTENDED, is_attended=False, skipped="budget")


def test_reasons_return_and_the_expected_ones_take_no_space():
    for sources, is_packed in (((ATTENDED, IDLE, BROKEN), False), ((ATTENDED, CROWDED, BROKEN), True)):
        packed = pack_skipped(sources)
        assert bool(packed) is is_packed
        assert with_skipped([replace(source, skipped="") for source in sources], packed) == sources


def test_a_row_of_an_earlier_version_has_no_reason_for_a_fresh_source():
    assert with_skipped([replace(CROWDED, skipped="")], ())[0].skipped == ""


def test_the_summary_and_the_store_count_the_same_reasons(tmp_path):
    summary = SessionSummary()
    stream = SolvingFacts(stream="puzzles", level=0, levels=(), skipped="energy")
    with MetricsStore(tmp_path / "metrics.db") as store:
        writer = store.instrument(store.begin_session())
        ticks = [item for item in SyntheticSession(num_ticks=12).items() if isinstance(item, TickReport)]
        for tick, report in enumerate(ticks):
            places = [IDLE, replace(BROKEN, name="b"), replace(CROWDED, name="c")]
            if tick < 4:
                places[2] = replace(ATTENDED, name="c")
            facts = replace(report.facts, sources=tuple(places), solving=(stream,))
            for instrument in (writer, summary):
                instrument.on_tick(replace(report, facts=facts))
        assert writer.flush(20)
        stored = store.skips(store.session().id)
    counted = summary.figures().skips
    assert {each.reason: each.by_name for each in counted} == {
        "not due": (("a", 12),),
        "quarantined": (("b", 12),),
        "energy": (("puzzles", 12),),
        "budget": (("c", 8),),
    }
    assert stored == counted
    assert skips_line(counted, num_reasons=1) == "energy 12 (puzzles)"
    page = skips_table(stored)
    assert all(each.reason in page for each in stored)
    assert page.index("quarantined") < page.index("budget")
    assert skips_table(()) == ""
