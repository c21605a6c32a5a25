"""The end of a session in order: after the current tick, with a deadline.

Invariant: from `begin` on the process ends within `secs`, whatever hangs: past the deadline the stacks of all
threads are printed and it exits with code 1. The journal and the last complete snapshot stay.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
from collections.abc import Callable

import structlog

log = structlog.get_logger("sage.app")
#: Time from the request to stop to the end of the process.
DRAIN_SECS = 60.0
EXIT_OVERDUE = 1


class Drain:
    """abort: called when the deadline has passed; by default it exits."""

    def __init__(self, *, secs: float = DRAIN_SECS, abort: Callable[[], None] | None = None) -> None:
        self._stop: Callable[[str], None] | None = None
        self._secs = secs
        self._abort = abort or self._exit
        self._timer: threading.Timer | None = None

    @property
    def has_begun(self) -> bool:
        return self._timer is not None

    @property
    def secs(self) -> float:
        return self._secs

    def attach(self, stop: Callable[[str], None]) -> None:
        """stop: ends the loop after the current tick, given the reason."""
        self._stop = stop

    def begin(self, reason: str) -> None:
        """Safe in a signal handler, once something is attached. A second call changes nothing."""
        if self._timer is not None or self._stop is None:
            return
        self._timer = threading.Timer(self._secs, self._abort)
        self._timer.name, self._timer.daemon = "sage-drain", True
        self._timer.start()
        self._stop(reason)

    def end(self) -> None:
        """The session has ended in time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()

    def _exit(self) -> None:
        log.error(
            "not stopped in time, exit now; the journal and the last snapshot are complete",
            drain_secs=self._secs,
        )
        dump_stacks()
        os._exit(EXIT_OVERDUE)


def dump_stacks() -> None:
    """The stacks of all threads to stderr; nothing where stderr is not a file."""
    try:
        faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
    except (OSError, ValueError, AttributeError) as error:
        log.warning("the stacks could not be printed", error=str(error))
