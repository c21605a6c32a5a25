"""The live view: a screen on a terminal, plain lines elsewhere, errors raised at the end."""

from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from sage.app.live.screen import status_line
from sage.app.live.state import LiveState
from sage.app.live.view import LiveView
from sage.app.session.synthetic import SyntheticSession


class WatchedOutput(io.StringIO):
    """Sets `written` at the first text, so that a test does not sleep."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def write(self, text: str) -> int:
        done = super().write(text)
        if text.strip():
            self.written.set()
        return done


def watched_view(**options) -> tuple[WatchedOutput, LiveView]:
    output = WatchedOutput()
    console = Console(file=output, **options)
    return output, LiveView(console=console, refresh_hz=50, line_secs=0.01)


def test_without_a_terminal_a_plain_line_is_printed():
    output, view = watched_view(force_terminal=False, width=80)
    with view:
        SyntheticSession(num_ticks=50).play(view)
        assert output.written.wait(10)
    text = output.getvalue()
    assert "\x1b" not in text
    assert len(text.splitlines()[0]) > 0


def test_the_terminal_is_restored():
    output, view = watched_view(force_terminal=True, width=80, height=24)
    with view:
        SyntheticSession(num_ticks=50).play(view)
        assert output.written.wait(10)
    text = output.getvalue()
    assert text.count("\x1b[?1049h") == text.count("\x1b[?1049l") == 1
    assert "tick 49" in text, "the last frame shows the last tick"


def test_a_drawing_that_fails_does_not_reach_the_loop_and_is_raised_at_the_end():
    failed = threading.Event()

    def notices() -> tuple[str, ...]:
        failed.set()
        raise OSError("gone")

    view = LiveView(
        console=Console(file=io.StringIO(), force_terminal=False), line_secs=0.01, notices=notices
    )
    view.__enter__()
    assert failed.wait(10)
    SyntheticSession(num_ticks=20).play(view)
    with pytest.raises(RuntimeError, match="live view failed"):
        view.close()
    view.close()


def test_a_view_that_is_not_enabled_draws_nothing():
    output = io.StringIO()
    with LiveView(is_enabled=False, console=Console(file=output, force_terminal=True)) as view:
        SyntheticSession(num_ticks=20).play(view)
    assert output.getvalue() == ""


def test_totals_are_of_all_reports_however_many_come_between_two_drawings():
    view, whole = LiveView(console=Console(file=io.StringIO(), force_terminal=False)), LiveState()
    for item in SyntheticSession(num_ticks=6000).items():
        whole.take(item)
    SyntheticSession(num_ticks=6000).play(view)
    state = view.take_in()
    assert state.num_sleeps == whole.num_sleeps == 2
    assert state.num_overruns == whole.num_overruns > 6
    assert state.report is not None
    assert state.report.facts.tick == 5999
    assert "2 sleeps" in status_line(state)
