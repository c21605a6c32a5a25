"""Ending a command in order on SIGINT and SIGTERM: the first one asks, a second one, of either kind, aborts.

Invariant: an aborted command ends with the exit code of the first signal, 130 or 143, without a traceback.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sage.errors import Terminated


@contextmanager
def stopped_by_signals(
    stop: Callable[[signal.Signals], None], *, abort: Callable[[int], bool] | None = None
) -> Iterator[None]:
    """Until exit the first SIGINT or SIGTERM calls `stop`. On the main thread.

    The second one raises `Terminated` where the main thread is, unless `abort`, which is given the exit code,
    returns False. A third one ends the process. A terminal that closes after the first has no effect.
    """
    asked: list[signal.Signals] = []

    def ask(number: int, _frame: object) -> None:
        asked.append(signal.Signals(number))
        code = 128 + asked[0]
        if len(asked) == 1:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            stop(asked[0])
        elif len(asked) == 2:
            if abort is None or abort(code):
                raise Terminated(code)
        else:
            os._exit(code)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
