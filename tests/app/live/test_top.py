"""`sage top`: the screen of a session over the control socket."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from sage.app.control.client import ask
from sage.app.control.messages import MAX_LINE_BYTES, encoded
from sage.app.control.server import ControlServer
from sage.app.live.top import screen, show
from sage.app.page.feed import SessionFeed
from sage.app.page.screen import screen_verb
from sage.app.session.synthetic import SyntheticSession
from sage.app.terminal.errors import UserError
from sage.mailbox.clock import ManualClock
from sage.runtime.report import Event, SleepReport, TickReport
from sage.runtime.scheduling.work_facts import WorkFacts


def feed_after(num_ticks: int, **options) -> SessionFeed:
    feed = SessionFeed("quiet-otter", notices=lambda: ("a notice",), real_clock=ManualClock())
    SyntheticSession(num_ticks=num_ticks, **options).play(feed)
    return feed


def test_a_terminal_elsewhere_shows_the_live_view(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    feed = feed_after(300)
    with ControlServer(tmp_path, {"screen": screen_verb(feed)}):
        shown = screen(tmp_path, Console(width=100, height=30, force_terminal=True))
        lines = shown.plain.split("\n")
        assert "WAKE" in lines[0]
        assert "quiet-otter" in lines[0]
        assert "a notice" in lines
        assert max(map(len, lines)) <= 100
        assert len(lines) <= 30
        assert any(span.style for span in shown.spans)
        show(tmp_path, is_once=True)
        assert "imu" in capsys.readouterr().out
        with pytest.raises(UserError, match="whole number of cells"):
            ask(tmp_path, "screen", width="wide", height=30)
    with pytest.raises(UserError, match="no session is running here"):
        show(tmp_path, is_once=True)


def test_a_screen_of_any_size_fits_into_a_reply() -> None:
    feed = feed_after(20, sources=tuple(f"a long name of a source {number}" for number in range(400)))
    for size in (1, 80, 10**9):
        lines = screen_verb(feed)({"width": size, "height": size})["lines"]
        assert len(encoded({"ok": True, "result": {"lines": lines}})) <= MAX_LINE_BYTES
        assert lines


def test_reports_beyond_the_queue_are_skipped_and_the_newest_is_kept() -> None:
    feed = feed_after(3000)
    while feed.take_in(100):
        pass
    assert feed.live.report is not None
    assert feed.live.report.facts.tick == 2999
    assert len(feed.total_ns) == 512


def test_totals_are_of_the_whole_session_whoever_looked_at_it() -> None:
    """Without a page nobody takes reports out of the queue until `sage top` asks."""

    def session(feed: SessionFeed, looks_every: int) -> SessionFeed:
        work = WorkFacts(name="notes.imagine", num_segments=2, num_made=1, skipped="mode", work_trust=0.75)
        for number, item in enumerate(SyntheticSession(num_ticks=3000).items()):
            if isinstance(item, TickReport):
                facts = replace(item.facts, work=(work,))
                item = replace(item, facts=facts, timing=replace(item.timing, is_overrun=number % 7 == 0))
                feed.on_tick(item)
                if number % 5 == 0:
                    feed.on_event(Event(kind="note", tick=item.facts.tick, message="made up"))
            else:
                feed.on_sleep(item) if isinstance(item, SleepReport) else feed.on_event(item)
            if number % looks_every == looks_every - 1:
                feed.take_in(100_000)
        feed.take_in(100_000)
        return feed

    seen, unseen = session(SessionFeed("one"), 1), session(SessionFeed("two"), 2500)
    assert seen.live.num_overruns > 300
    assert unseen.live.num_overruns == seen.live.num_overruns
    assert unseen.live.num_sleeps == seen.live.num_sleeps > 0
    assert repr(unseen.live.sleep) == repr(seen.live.sleep)  # NaN is not equal to itself
    assert unseen.live.work == seen.live.work
    assert list(unseen.events) == list(seen.events)
    assert unseen.events[-1][0] > 600


def test_totals_are_right_while_a_reader_and_the_loop_compete() -> None:
    feed, done = SessionFeed("one"), threading.Event()

    def look() -> None:
        while not done.is_set():
            feed.take_in(7)

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for number in range(30_000):
            feed.on_event(Event(kind="note", tick=number, message="made up"))
    finally:
        done.set()
        reader.join()
    feed.take_in(100_000)
    assert all(number == event.tick + 1 for number, event in feed.events)
    assert feed.events[-1][0] == 30_000
