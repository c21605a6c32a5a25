"""Signals, handled once for all commands.

SIGINT   Python's own: raises KeyboardInterrupt; exit code 130.
SIGTERM  raises Terminated, a SystemExit with code 143, so that `with` and `finally` blocks run; a second
         SIGTERM ends the process at once.
SIGHUP   raises SIGTERM in this process, once; later ones are ignored. Ignored throughout where it was ignored
at
         the start (nohup).

Invariant: a command that finishes its step first (`run`, `train`, `serve`) replaces the handlers of SIGINT
and SIGTERM alone; SIGHUP then has the same effect as its SIGTERM. A closing terminal sends SIGHUP several
times (from the kernel and from the shell): the second must not abort what the first one ends in order.
"""

from __future__ import annotations

import signal
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


def _exit_terminated(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise Terminated(TERMINATED)


def _hang_up(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.raise_signal(signal.SIGTERM)
