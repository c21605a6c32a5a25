"""Signals of a running session.

SIGINT, SIGTERM  end the session after the current tick, within the drain's deadline; a second one aborts.
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

log = structlog.get_logger("sage.app")


@contextmanager
def signals_handled(drain: Drain, *, on_hangup: Callable[[], None] | None) -> Iterator[None]:
    """on_hangup: called in the handler of SIGHUP; None leaves SIGHUP as it is."""

    def stop(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler)
        drain.begin(f"signal {signal.Signals(number).name}")

    handlers: dict[signal.Signals, Callable[[int, object], None]] = {
        signal.SIGINT: stop,
        signal.SIGTERM: stop,
    }
    if on_hangup is not None:
        reload = on_hangup
        handlers[signal.SIGHUP] = lambda number, frame: reload()
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    has_dump = _dumps_on_usr1()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
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
