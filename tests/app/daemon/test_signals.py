"""Signals of a session: the first one drains it, a second one of either kind cuts the drain short."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
_SESSION = """
import os, sys
from sage.app.daemon.drain import Drain
from sage.app.daemon.signals import signals_handled
drain = Drain(secs=3600.0)
drain.attach(lambda reason: print(reason, flush=True))
{before}
with signals_handled(drain, on_hangup=None):
    try:
        print("ready", flush=True)
        for _ in sys.stdin:
            pass
    finally:
        {cleanup}
        print("closed", flush=True)
drain.end()
"""


def ended(*numbers: signal.Signals, before: str = "", cleanup: str = "pass") -> tuple[str, str, int]:
    """What the process printed after the first signal, its stderr and its exit code."""
    code = _SESSION.format(before=before, cleanup=cleanup)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], text=True, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(numbers[0])
        assert process.stdout.readline() == f"signal {numbers[0].name}\n"
        for number in numbers[1:]:
            process.send_signal(number)
        out, err = process.communicate(timeout=120)
    return out, err, process.returncode


@pytest.mark.parametrize(
    ("numbers", "code"),
    [((INT, TERM), 130), ((TERM, INT), 143), ((INT, INT), 130), ((TERM, TERM), 143)],
)
def test_a_second_signal_closes_and_ends_with_the_code_of_the_first(
    numbers: tuple[signal.Signals, ...], code: int
) -> None:
    assert ended(*numbers) == ("closed\n", "", code)


def test_a_terminal_that_closes_after_ctrl_c_cuts_nothing_short() -> None:
    assert ended(INT, HUP) == ("closed\n", "", 0)


def test_a_third_signal_ends_the_process_at_once() -> None:
    cleanup = "os.kill(os.getpid(), 15); os.kill(os.getpid(), 15)"
    assert ended(TERM, INT, cleanup=cleanup) == ("", "", 143)


def test_devices_that_are_being_closed_are_not_cut_off() -> None:
    cleanup = "os.kill(os.getpid(), 2)"
    assert ended(TERM, before="drain.is_closing = True", cleanup=cleanup) == ("closed\n", "", 0)


def test_a_close_that_hangs_after_a_second_signal_ends_with_the_code_of_the_first() -> None:
    before = "import sage.app.daemon.drain as module, threading; module.SHORTENED_SECS = 0.01"
    cleanup = "threading.Event().wait()"
    assert ended(INT, TERM, before=before, cleanup=cleanup) == ("", "", 130)
