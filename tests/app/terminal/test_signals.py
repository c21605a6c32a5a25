"""SIGTERM and SIGHUP end a command in order; nohup's ignored SIGHUP stays ignored."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

_COMMAND = """
import signal, sys
{before}
from sage.app.terminal.signals import install_signal_handlers
install_signal_handlers()
try:
    print("ready", flush=True)
    for _ in sys.stdin:
        pass
finally:
    {cleanup}
    print("closed", flush=True)
"""


def _start(before: str = "", cleanup: str = "") -> subprocess.Popen[str]:
    code = _COMMAND.format(before=before, cleanup=cleanup)
    started = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "ready\n"
    return started


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_finally_blocks_run_and_the_exit_code_is_143(number: signal.Signals) -> None:
    with _start() as command:
        command.send_signal(number)
        output, _ = command.communicate(timeout=60)
    assert (output, command.returncode) == ("closed\n", 143)


def test_a_second_hangup_does_not_abort_the_cleanup() -> None:
    with _start(cleanup="signal.raise_signal(signal.SIGHUP)") as command:
        command.send_signal(signal.SIGHUP)
        output, _ = command.communicate(timeout=60)
    assert (output, command.returncode) == ("closed\n", 143)


def test_a_second_sigterm_ends_the_process_at_once() -> None:
    with _start(cleanup="signal.raise_signal(signal.SIGTERM)") as command:
        command.send_signal(signal.SIGTERM)
        output, _ = command.communicate(timeout=60)
    assert (output, command.returncode) == ("", -signal.SIGTERM)


def test_a_hangup_that_is_ignored_at_the_start_stays_ignored() -> None:
    with _start(before="signal.signal(signal.SIGHUP, signal.SIG_IGN)") as command:
        command.send_signal(signal.SIGHUP)
        output, _ = command.communicate(timeout=60)
    assert (output, command.returncode) == ("closed\n", 0)


def test_a_command_with_its_own_sigterm_handler_receives_the_hangup_there() -> None:
    own = "signal.signal(signal.SIGTERM, lambda *_: print('own handler', flush=True))"
    with _start(cleanup=f"{own}; signal.raise_signal(signal.SIGHUP)") as command:
        output, _ = command.communicate(timeout=60)
    assert (output, command.returncode) == ("own handler\nclosed\n", 0)


def test_a_session_under_a_service_manager_survives_both_signals_from_its_first_step_on() -> None:
    """SIGHUP is kept for who handles it next."""
    before = "import os; os.environ['NOTIFY_SOCKET'] = '@nobody'"
    code = _COMMAND.replace("try:", "from sage.app.terminal.signals import session_signals\ntry:")
    code = code.replace('print("ready"', 'signals = session_signals(); signals.__enter__(); print("ready"')
    cleanup = "print(signal.getsignal(signal.SIGHUP).has_come)"
    with subprocess.Popen(
        [sys.executable, "-c", code.format(before=before, cleanup=cleanup)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "ready\n"
        command.send_signal(signal.SIGUSR1)
        command.send_signal(signal.SIGHUP)
        output, errors = command.communicate(timeout=60)
    assert (output, command.returncode) == ("True\nclosed\n", 0)
    assert "most recent call first" in errors
