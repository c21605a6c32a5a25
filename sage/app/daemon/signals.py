"""Signals of a running session.

SIGINT, SIGTERM  end the session after the current tick, within the drain's deadline. A second one, of either
                 kind, aborts: devices are closed, and the process ends within 5 s, with the exit code of the
                 first (130, 143). A third one ends the process at once.
SIGHUP           reloads the configuration under a service manager; elsewhere it acts as SIGTERM (a closed
                 terminal), and is ignored under nohup: see `sage.app.terminal.signals`.
SIGUSR1          prints the stacks of all threads to stderr, also while a tick hangs.

Invariant: at exit the handlers are those of before.
"""

from __future__ import annotations

import faulthandler
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from sage.app.daemon.drain import Drain
from sage.app.terminal.stopping import stopped_by_signals

log = structlog.get_logger("sage.app")


@contextmanager
def signals_handled(drain: Drain, *, on_hangup: Callable[[], None] | None) -> Iterator[None]:
    """on_hangup: called in the handler of SIGHUP; None leaves SIGHUP as it is."""

    def begin(number: signal.Signals) -> None:
        drain.begin(f"signal {number.name}")

    before = None if on_hangup is None else signal.signal(signal.SIGHUP, lambda number, frame: on_hangup())
    has_dump = _dumps_on_usr1()
    try:
        with stopped_by_signals(begin, abort=drain.shorten):
            yield
    finally:
        if on_hangup is not None:
            signal.signal(signal.SIGHUP, before)
        if has_dump:
            faulthandler.unregister(signal.SIGUSR1)


def _dumps_on_usr1() -> bool:
    """Whether stderr is a file that the handler, which is written in C, can print to."""
    try:
        faulthandler.register(signal.SIGUSR1, file=sys.stderr, all_threads=True)
    except (OSError, ValueError, AttributeError):
        log.info("SIGUSR1 is not handled: stderr is not a file")
        return False
    return True
