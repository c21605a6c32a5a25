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
from functools import partial

import structlog

log = structlog.get_logger("sage.app")
#: Time from the request to stop to the end of the process.
DRAIN_SECS = 60.0
#: As much after a second request.
SHORTENED_SECS = 5.0
EXIT_OVERDUE = 1


class Drain:
    """abort: called when the deadline has passed; by default it exits.  leave: the same after a second
    request, given the exit code.  is_closing: devices are being closed, which a second request does not cut
    off.
    """

    def __init__(
        self,
        *,
        secs: float = DRAIN_SECS,
        abort: Callable[[], None] | None = None,
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        self._stop: Callable[[str], None] | None = None
        self._secs = secs
        self._abort = abort or self._exit
        self._leave = leave
        self.is_closing = False
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
        self._timer = self._started(self._secs, self._abort)
        self._stop(reason)

    def shorten(self, code: int) -> bool:
        """A second request: the process ends within SHORTENED_SECS, with `code`. Returns whether the session
        may be cut off. Safe in a signal handler.
        """
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._started(min(SHORTENED_SECS, self._secs), partial(self._leave, code))
        return not self.is_closing

    def end(self) -> None:
        """The session has ended in time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()

    def _started(self, secs: float, function: Callable[[], object]) -> threading.Timer:
        timer = threading.Timer(secs, function)
        timer.name, timer.daemon = "sage-drain", True
        timer.start()
        return timer

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
