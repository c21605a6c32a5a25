"""Signals of a running session.

SIGINT, SIGTERM  end the session after the current tick, within the drain's deadline. A second one, of either
                 kind, aborts: devices are closed, and the process ends within 5 s, with the exit code of the
                 first (130, 143). A third one ends the process at once.
SIGHUP           reloads the configuration under a service manager, once the session runs; elsewhere it acts
                 as SIGTERM (a closed terminal), and is ignored under nohup.
SIGUSR1          prints the stacks of all threads to stderr, also while a tick hangs: see `session_signals` in
                 `sage.app.terminal.signals`.

Invariant: at exit the handlers are those of before.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sage.app.daemon.drain import Drain
from sage.app.terminal.signals import EarlyHangups
from sage.app.terminal.stopping import stopped_by_signals


@contextmanager
def signals_handled(drain: Drain, *, on_hangup: Callable[[], None] | None) -> Iterator[None]:
    """on_hangup: called in the handler of SIGHUP, and now for one that came before; None leaves SIGHUP as it
    is.
    """

    def begin(number: signal.Signals) -> None:
        drain.begin(f"signal {number.name}")

    before = None if on_hangup is None else signal.signal(signal.SIGHUP, lambda number, frame: on_hangup())
    try:
        if on_hangup is not None and isinstance(before, EarlyHangups) and before.has_come:
            on_hangup()
        with stopped_by_signals(begin, abort=drain.shorten):
            yield
    finally:
        if on_hangup is not None:
            signal.signal(signal.SIGHUP, before)
