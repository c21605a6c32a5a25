"""Several sessions side by side: the same figures as each session's own report."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from typer.testing import CliRunner

from sage.app.cli.main import app
from sage.app.config.state_dir import STORE_NAME
from sage.app.report.data import collect
from sage.app.report.side_by_side import as_dict, load_columns, write_columns
from sage.app.session.synthetic import SyntheticSession
from sage.app.store.metrics_store import MetricsStore, Retention
from sage.app.store.schema import close_merged, connect
from sage.app.store.thinning import Thinner
from sage.app.terminal.errors import UserError
from sage.app.terminal.figures import DASH
from sage.app.terminal.skill import ALL_PHYSICAL
from sage.runtime.report import Event, SleepOutcome, SleepReport, TickReport

NIGHT = SleepReport(
    outcome=SleepOutcome.ROLLED_BACK, reason="", tick=10, num_replayed=9, num_examined=9, num_steps=9
)


@pytest.fixture
def stored(tmp_path):
    """Two sessions, of 40 and 60 ticks; only the second has a night and the source `<b>`."""
    with MetricsStore(tmp_path / STORE_NAME) as store:
        for num_ticks, sources in ((40, ("one",)), (60, ("one", "<b>"))):
            writer = store.instrument(store.begin_session())
            for item in SyntheticSession(num_ticks=num_ticks, sources=sources).items():
                if isinstance(item, TickReport):
                    writer.on_tick(item)
            if num_ticks == 60:
                writer.on_sleep(NIGHT)
                writer.on_event(Event(kind="alarm", tick=3, message="late"))
            assert writer.flush(20)
    return tmp_path


class _Cells(HTMLParser):
    def __init__(self):
        super().__init__()
        self.texts = []

    def handle_data(self, data):
        self.texts.append(data)


def test_each_column_has_the_figures_of_its_session(stored):
    with MetricsStore(stored / STORE_NAME) as store:
        first, second = store.sessions()
        single = [collect(store, each) for each in (first, second)]
    found = load_columns(stored, [second.id, first.id])
    assert found.sessions == (second.id, first.id)
    two, one = (each["figures"] for each in as_dict(found))
    assert (one["Run: ticks"], two["Run: ticks"]) == (40, 60)
    for figures, data in ((one, single[0]), (two, single[1])):
        total = data.skills[ALL_PHYSICAL]
        assert figures[f"Prediction: skill, {ALL_PHYSICAL}"] == pytest.approx(total.overall)
        assert figures["Run: overruns"] == data.num_overruns
        assert 0 < figures["Run: tick, median"] <= figures["Run: tick, p99"]
    assert (one["Nights: rolled back"], two["Nights: rolled back"]) == (None, 1)
    assert (one["Events: alarm"], two["Events: alarm"]) == (None, 1)
    assert one["Trust at the end: <b>"] is None
    page = write_columns(found, stored / "page.html").read_text()
    assert "<b>" not in page.partition("<main")[2]
    assert "<script" not in page
    parser = _Cells()
    parser.feed(page.partition("<main")[2])
    assert {"<b>", "rolled back", "60", "40", DASH} <= set(parser.texts)


def test_the_command_prints_a_table_and_the_page(stored):
    with MetricsStore(stored / STORE_NAME) as store:
        ids = [each.id for each in store.sessions()]
    run = CliRunner()
    shown = run.invoke(app, ["report", *ids, "--state-dir", str(stored)])
    assert shown.exit_code == 0, shown.output
    assert "rolled back" in shown.output
    out = stored / "both.html"
    done = run.invoke(app, ["report", *ids, "--state-dir", str(stored), "--out", str(out), "--json"])
    document = json.loads(done.output)
    assert document["path"] == str(out)
    assert [each["session"] for each in document["sessions"]] == ids
    assert out.read_text().count("</html>") == 1
    with pytest.raises(UserError, match="given twice"):
        load_columns(stored, [ids[0], ids[0]])
    with pytest.raises(UserError, match="nothing-like-it"):
        load_columns(stored, [ids[0], "nothing-like-it"])


def test_quantiles_are_of_single_ticks_and_no_averages(tmp_path):
    """A row of an averaged second is its mean: a quantile of such rows is none of ticks."""
    with MetricsStore(tmp_path / STORE_NAME) as store:
        writer = store.instrument(store.begin_session())
        for item in SyntheticSession(num_ticks=400).items():
            if isinstance(item, TickReport):
                spent_ns = 9_000_000 if item.facts.tick % 5 == 0 else 1_000_000
                writer.on_tick(replace(item, timing=replace(item.timing, total_ns=spent_ns)))
        assert writer.flush(20)
        session = store.session().id
    last_secs, all_of_it = ((5.0, 1.0),), ((0.001, 1.0),)
    for levels, median in ((last_secs, 1e6), (all_of_it, None)):
        connection = connect(tmp_path / STORE_NAME)
        later_ns = time.time_ns() + (0 if median else 60 * 10**9)  # then the last second is old, too
        thinner = Thinner(Retention(levels=levels), lambda at_ns=later_ns: at_ns)
        while thinner.step(connection, 1 if median else None):
            pass
        close_merged(connection, tmp_path / STORE_NAME)
        (figures,) = (each["figures"] for each in as_dict(load_columns(tmp_path, [session])))
        assert figures["Run: tick, median"] == median
        assert figures["Run: tick, p99"] == (None if median is None else 9e6)
        assert figures["Run: tick, mean"] == pytest.approx(2.6e6, rel=0.01)
