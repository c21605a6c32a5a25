"""`sage top`: the screen of a session over the control socket."""

from __future__ import annotations

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
