"""The HTML report: self-contained, bounded, and with everything from a session as text, never markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sage.app.cli.main import invoke
from sage.app.config.state_dir import STORE_NAME
from sage.app.report.data import collect
from sage.app.report.write import write_report
from sage.app.session.summary import SessionSummary
from sage.app.session.synthetic import SyntheticSession
from sage.app.store.metrics_store import MetricsStore
from sage.app.terminal.errors import UserError
from sage.app.terminal.skill import ALL_PHYSICAL
from sage.runtime.report import Event, SleepOutcome, SleepReport, TickReport

ATTACK = "<script>alert(1)</script>\"'&</script><img src=x onerror=alert(2)>"


class Page(HTMLParser):
    """Elements, their attributes, and the text of each script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words = ""
        self._is_script = False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._is_script = tag == "script"
        if self._is_script:
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._is_script = False

    def handle_data(self, data):
        if self._is_script:
            self.scripts[-1] += data
        else:
            self.words += data

    @property
    def data(self) -> dict:
        return json.loads(self.scripts[0])


def stored(state_dir, feed: SyntheticSession, *events: Event, **facts) -> str:
    with MetricsStore(state_dir / STORE_NAME, capacity=100_000, flush_secs=0.01) as store:
        session = store.begin_session(**facts)
        writer = store.instrument(session)
        feed.play(writer)
        for event in events:
            writer.on_event(event)
        assert writer.flush(20)
    return session


def test_the_page_needs_nothing_but_itself(tmp_path):
    session = stored(tmp_path, SyntheticSession(num_ticks=200))
    path = write_report(tmp_path)
    assert path == tmp_path / f"report-{session}.html"
    page = Page(path.read_text())
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "img", "form"), tag
        assert not {"src", "srcset", "action", "onclick", "onerror", "onload"} & attributes.keys(), (
            tag,
            attributes,
        )
        assert not attributes.get("href", "#").startswith(("http", "//"))
    css = re.findall(r"<style>(.*?)</style>", path.read_text(), re.S)
    assert "@import" not in css[0]
    assert "url(" not in css[0]


def test_the_policy_allows_the_two_scripts_of_the_page_and_no_other(tmp_path):
    stored(tmp_path, SyntheticSession(num_ticks=20))
    page = Page(write_report(tmp_path).read_text())
    (policy,) = [
        a["content"]
        for tag, a in page.tags
        if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    ]
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    assert {
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in page.scripts[1:]
    } == allowed
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1]


def test_everything_from_a_session_is_text_never_markup(tmp_path):
    feed = SyntheticSession(num_ticks=50, sources=(ATTACK, "imu"))
    facts = {
        "config": ATTACK,
        "config_hash": ATTACK,
        "versions": {ATTACK: ATTACK},
        "hardware": {ATTACK: ATTACK},
        "name": ATTACK,
    }
    stored(
        tmp_path,
        feed,
        Event(kind=ATTACK, tick=3, source=ATTACK, message=ATTACK, data=((ATTACK, ATTACK),)),
        **facts,
    )
    page = Page(write_report(tmp_path, out=tmp_path / "page.html").read_text())
    assert [tag for tag, _ in page.tags].count("script") == 3
    assert "img" not in {tag for tag, _ in page.tags}
    assert page.words.count(ATTACK) >= 8
    assert page.data["plots"][0]["lines"][0]["label"] == ATTACK


def test_every_plot_is_on_the_page_with_its_lines(tmp_path):
    stored(tmp_path, SyntheticSession(num_ticks=300))
    page = Page(write_report(tmp_path).read_text())
    wanted = {
        "skill",
        "surprise",
        "trust",
        "weight",
        "coherence",
        "xerr",
        "gate",
        "memory",
        "tick",
        "rate",
    }
    assert {plot["id"] for plot in page.data["plots"]} == wanted
    shown = {attributes["data-plot"] for tag, attributes in page.tags if tag == "figure"}
    assert shown == wanted | {"timeline"}
    for plot in page.data["plots"]:
        for line in plot["lines"]:
            assert len(line["values"]) == len(page.data["times"]) == 300
    assert len(page.data["sleeps"]) == 2
    for expected in (
        "accepted",
        "rolled back",
        "+12.0%",
        "-5.0% to +3.0%",
        "quarantine",
        "read_into raised OSError",
    ):
        assert expected in page.words


def test_plots_can_be_reached_by_keyboard_and_are_named(tmp_path):
    stored(tmp_path, SyntheticSession(num_ticks=20))
    page = Page(write_report(tmp_path).read_text())
    areas = [attributes for tag, attributes in page.tags if attributes.get("class") == "plot"]
    assert len(areas) == 11
    assert all(area["tabindex"] == "0" and area["aria-label"] for area in areas)


def test_a_session_longer_than_the_page_is_averaged_down(tmp_path):
    stored(tmp_path, SyntheticSession(num_ticks=1700, sources=("a", "b", "c", "d")))
    path = write_report(tmp_path)
    page = Page(path.read_text())
    assert 240 <= len(page.data["times"]) <= 1500
    assert path.stat().st_size < 1_000_000


@pytest.mark.parametrize("num_ticks", [7, 100, 600, 1801])
def test_the_skill_of_the_report_equals_that_of_the_summary(tmp_path, num_ticks):
    session = stored(tmp_path, SyntheticSession(num_ticks=num_ticks), temporal=("imu",))
    summary = SessionSummary(temporal=("imu",))
    SyntheticSession(num_ticks=num_ticks).play(summary)
    with MetricsStore(tmp_path / STORE_NAME) as store:
        data = collect(store, store.session(session))
    figures = summary.figures()
    expected = {source.name: source.skill for source in figures.sources} | {ALL_PHYSICAL: figures.skill}
    assert list(data.skills) == list(expected)
    for name, skill in expected.items():
        assert asdict(data.skills[name]) == pytest.approx(asdict(skill), rel=1e-9, nan_ok=True), name
    page = Page(write_report(tmp_path).read_text())
    assert figures.verdict in page.words
    assert figures.skill.overall != pytest.approx(data.skills["imu"].overall)


def test_every_cell_of_the_skill_table_names_its_column_for_narrow_screens(tmp_path):
    stored(tmp_path, SyntheticSession(num_ticks=100))
    page = Page(write_report(tmp_path).read_text())
    labels = [attributes["data-label"] for tag, attributes in page.tags if "data-label" in attributes]
    assert labels[:7] == [
        "scored",
        "overall",
        "first third",
        "last third",
        "before sleep",
        "after sleep",
        "HRM adds",
    ]
    assert sum(label in labels[:7] for label in labels) == 4 * 7


@pytest.mark.parametrize("num_ticks", [0, 1, 2])
def test_a_session_of_almost_nothing_is_a_page_too(tmp_path, num_ticks):
    stored(tmp_path, SyntheticSession(num_ticks=num_ticks, sources=("imu",)))
    page = Page(write_report(tmp_path).read_text())
    assert len(page.data["times"]) == num_ticks
    assert "nan" not in page.words.lower()


def test_a_huge_surprise_makes_the_axis_logarithmic_with_a_note(tmp_path):
    with MetricsStore(tmp_path / STORE_NAME, flush_secs=0.01) as store:
        writer = store.instrument(store.begin_session())
        for report in (
            item for item in SyntheticSession(num_ticks=200).items() if isinstance(item, TickReport)
        ):
            factor = 1e6 if report.facts.tick == 150 else 1.0
            sources = tuple(
                replace(source, surprise=source.surprise * factor) for source in report.facts.sources
            )
            writer.on_tick(replace(report, facts=replace(report.facts, sources=sources)))
    page = Page(write_report(tmp_path).read_text())
    (plot,) = [plot for plot in page.data["plots"] if plot["id"] == "surprise"]
    assert plot["is_log"]
    assert "Logarithmic axis." in page.words


def test_a_skipped_sleep_divides_nothing_and_shows_no_empty_losses(tmp_path):
    skipped = SleepReport(
        outcome=SleepOutcome.SKIPPED,
        reason="too little yet",
        tick=10,
        num_replayed=0,
        num_examined=0,
        num_steps=0,
    )
    with MetricsStore(tmp_path / STORE_NAME) as store:
        writer = store.instrument(store.begin_session())
        for item in SyntheticSession(num_ticks=20).items():
            if isinstance(item, TickReport):
                writer.on_tick(item)
        writer.on_sleep(skipped)
        assert writer.flush(20)
    page = Page(write_report(tmp_path).read_text())
    assert "too little yet" in page.words
    assert re.search("senses, [0-9.]+ s, tick 10", page.words)
    assert "sleep: 1 skipped" in page.words
    assert "loss on held-out" not in page.words
    assert page.data["sleeps"] == []


def test_tick_times_during_nights_stand_beside_the_others_as_in_the_summary(tmp_path):
    session = stored(tmp_path, SyntheticSession(num_ticks=600))
    summary = SessionSummary()
    SyntheticSession(num_ticks=600).play(summary)
    with MetricsStore(tmp_path / STORE_NAME) as store:
        ticks = collect(store, store.session(session)).night_ticks
    assert ticks == summary.figures().night_ticks
    assert ticks.num_night > 0
    page = Page(write_report(tmp_path).read_text())
    assert "during a nightwhile none ran" in re.sub(r"[\d.,]+( ms)?", "", page.words)


def test_no_store_no_session_and_no_room_are_one_line_each(tmp_path):
    with pytest.raises(UserError, match="sage run"):
        write_report(tmp_path)
    stored(tmp_path, SyntheticSession(num_ticks=2))
    with pytest.raises(UserError, match="the latest are"):
        write_report(tmp_path, "gone")
    with pytest.raises(UserError, match="cannot write the report"):
        write_report(tmp_path, out=tmp_path / STORE_NAME / "page.html")


def test_json_has_the_path_the_verdict_and_the_skills(tmp_path, capsys):
    stored(tmp_path, SyntheticSession(num_ticks=50))
    assert invoke(["report", "--state-dir", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (tmp_path / f"report-{found['session']}.html") == Path(found["path"])
    assert found["verdict"].startswith("The squared prediction error")
    assert found["skills"]["imu"]["num_scored"] > 0
    assert found["skills"]["imu"]["after_sleep"] is not None
