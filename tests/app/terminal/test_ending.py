"""The end of a process with threads that are still inside a device's library."""

from __future__ import annotations

import subprocess
import sys

import pytest

SETUP = """
import atexit, sys, threading, time
from sage.app.terminal.ending import ProcessEnd
end = ProcessEnd()
atexit.register(print, "handler of atexit")
"""
WAITS = "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
WORKS = "threading.Thread(target=lambda: (time.sleep(0.3), print('thread ended'))).start()\n"
#: Connects for three seconds and returns to Python then, while the interpreter is still being finalised.
CONNECTS = """
class Slow:
    def __del__(self, sleep=time.sleep):
        sleep(6.0)
sys.slow = Slow()
from sage.sensors.remote.link import open_session
threading.Thread(target=lambda: open_session(connect=["tcp/127.0.0.1:9"]), daemon=True).start()
time.sleep(0.5)
"""


def run(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", SETUP + text], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("threads", ["", WAITS], ids=["no thread", "a daemon thread"])
def test_its_code_and_what_comes_before_it_are_those_of_an_exit(threads: str) -> None:
    ran = run(threads + WORKS + "print('last'); end.exit(3)")
    assert (ran.returncode, ran.stderr) == (3, "")
    assert ran.stdout.splitlines() == ["last", "thread ended", "handler of atexit"]


def test_an_error_is_reported_as_without_it() -> None:
    ran = run(WAITS + "1 / 0")
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"


def test_a_thread_inside_a_library_does_not_abort_the_process() -> None:
    pytest.importorskip("zenoh")
    ran = run(CONNECTS + "end.exit(0)")
    assert (ran.returncode, ran.stderr) == (0, "")
