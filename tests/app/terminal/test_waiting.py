"""A command without output reports that it works: once a while, on stderr, never on stdout."""

from __future__ import annotations

import io
import threading

import pytest

from sage.app.terminal.waiting import show_waiting


class Recorder(io.StringIO):
    """A stream that signals its first flush."""

    def __init__(self, *, is_terminal: bool = False) -> None:
        super().__init__()
        self.flushed = threading.Event()
        self._is_terminal = is_terminal

    def flush(self) -> None:
        self.flushed.set()

    def isatty(self) -> bool:
        return self._is_terminal


def test_a_line_has_what_runs_and_how_long() -> None:
    stream = Recorder()
    with show_waiting("data build maze", stream=stream, first_secs=0.0):
        assert stream.flushed.wait(30)
    assert stream.getvalue().startswith("data build maze: 0")
    assert stream.getvalue().endswith("\n")


def test_a_terminals_line_is_removed_at_the_end() -> None:
    stream = Recorder(is_terminal=True)
    with show_waiting("eval", stream=stream, first_secs=0.0):
        assert stream.flushed.wait(30)
    assert "\n" not in stream.getvalue()
    assert stream.getvalue().endswith(" \r")


@pytest.mark.parametrize("is_quiet", [True, False])
def test_what_is_quiet_or_quick_writes_nothing(is_quiet: bool) -> None:
    stream = Recorder()
    with show_waiting("eval", is_quiet=is_quiet, stream=stream, first_secs=0.0 if is_quiet else 60.0):
        pass
    assert stream.getvalue() == ""
