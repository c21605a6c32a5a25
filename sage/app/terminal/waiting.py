"""A line on stderr while a command works without output: from the second second on, with the elapsed time.

On a terminal the line is redrawn; elsewhere a line is written every ten seconds. Nothing goes to stdout.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from sage.app.terminal.figures import duration

FIRST_SECS = 2.0
TERMINAL_SECS = 0.5
LINE_SECS = 10.0


@contextmanager
def show_waiting(
    what: str, *, is_quiet: bool = False, stream: TextIO | None = None, first_secs: float = FIRST_SECS
) -> Iterator[None]:
    """Report `what` and the elapsed time on `stream` (stderr) until the block ends."""
    stream = stream or sys.stderr
    if is_quiet or stream is None:
        yield
        return
    done, started = threading.Event(), time.monotonic()
    worker = threading.Thread(
        target=_report, args=(what, stream, done, started, first_secs), name="waiting", daemon=True
    )
    worker.start()
    try:
        yield
    finally:
        done.set()
        worker.join()


def _report(what: str, stream: TextIO, done: threading.Event, started: float, first_secs: float) -> None:
    if done.wait(first_secs):
        return
    is_terminal = stream.isatty()
    start, end, every = ("\r", "", TERMINAL_SECS) if is_terminal else ("", "\n", LINE_SECS)
    while True:
        text = f"{what}: {duration(time.monotonic() - started)}"
        stream.write(f"{start}{text}{end}")
        stream.flush()
        if done.wait(every):
            break
    if is_terminal:
        stream.write("\r" + " " * len(text) + "\r")
        stream.flush()
