"""Signals, handled once for all commands.

SIGINT   Python's own: raises KeyboardInterrupt; exit code 130.
SIGTERM  raises Terminated, a SystemExit with code 143, so that `with` and `finally` blocks run; a second
         SIGTERM ends the process at once.
SIGHUP   raises SIGTERM in this process, once; later ones are ignored. Ignored throughout where it was ignored
         at the start (nohup). A session under a service manager reloads its configuration instead.
SIGUSR1  in a session prints the stacks of all threads to stderr, from its first step on.

Invariant: a command that finishes its step first (`run`, `train`, `serve`) replaces the handlers of SIGINT
and SIGTERM alone; SIGHUP then has the same effect as its SIGTERM. A closing terminal sends SIGHUP several
times (from the kernel and from the shell): the second must not abort what the first one ends in order.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from sage.errors import Terminated

TERMINATED = 128 + signal.SIGTERM


def exit_code(number: int | None) -> int:
    """Of a command that has finished its step and ends for a signal; None: for another reason, as 130."""
    return 128 + (signal.SIGINT if number is None else number)


def raise_again(number: int) -> NoReturn:
    """What SIGINT or SIGTERM raises, for one that was held back."""
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated(TERMINATED)


def install_signal_handlers() -> None:
    """Call once, in the main thread, before a command runs."""
    signal.signal(signal.SIGTERM, _exit_terminated)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _hang_up)


class EarlyHangups:
    """The handler of SIGHUP while a service starts. What replaces it reloads where `has_come` is true."""

    def __init__(self) -> None:
        self.has_come = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        self.has_come = True


@contextmanager
def session_signals() -> Iterator[None]:
    """SIGUSR1 and, under a service manager, SIGHUP end no session, also while it imports and compiles. In the
    main thread, around the whole command; also a decorator.
    """
    before = signal.signal(signal.SIGHUP, EarlyHangups()) if os.environ.get("NOTIFY_SOCKET") else None
    has_dump = _dumps_on_usr1()
    try:
        yield
    finally:
        if has_dump:
            faulthandler.unregister(signal.SIGUSR1)
        if before is not None:
            signal.signal(signal.SIGHUP, before)


def _dumps_on_usr1() -> bool:
    """Whether stderr is a file that the handler, which is written in C, can print to."""
    try:
        faulthandler.register(signal.SIGUSR1, file=sys.stderr, all_threads=True)
    except (OSError, ValueError, AttributeError):
        return False
    return True


def _exit_terminated(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise Terminated(TERMINATED)


def _hang_up(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.raise_signal(signal.SIGTERM)
