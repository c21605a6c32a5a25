"""A sink in a thread of its own, so that logging never waits for a disk or a network.

Invariant: `log` returns at once. Figures that do not fit the bounded queue are dropped, oldest first, and
counted; the first of several errors of the sink in a row is logged, and their end; all are counted. `close`
returns after its time limit whatever the sink does.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from sage.errors import pass_on
from sage.hrm_core.training.tracker import Sink

log = structlog.get_logger("sage.app")
CAPACITY = 4096
CLOSE_SECS = 10.0
#: After this many errors in a row the sink is tried once in RETRY_SECS; figures between are dropped.
MAX_ERRORS = 8
RETRY_SECS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkStatistics:
    """num_logged: figures handed to the sink.  num_dropped: never handed to it.  num_errors: raised by it.
    problem: the last error, "" without one.
    """

    num_logged: int
    num_dropped: int
    num_errors: int
    num_queued: int
    problem: str


class BackgroundSink:
    """Opens, feeds and closes the sink that `make` returns, all in one thread.

    name: for messages.  capacity: of the queue, in calls of `log`. A sink that cannot be opened is given up.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Sink],
        *,
        capacity: int = CAPACITY,
        real_secs: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._make = make
        self._queue: deque[tuple[int, Mapping[str, float]]] = deque()
        self._capacity = capacity
        self._changed = threading.Condition()
        self._is_closing = False
        self._num_logged = 0
        self._num_dropped = 0
        self._num_errors = 0
        self._real_secs = real_secs
        self._retry_secs = 0.0  # after MAX_ERRORS: when the sink is tried again
        self._is_over = False
        self._num_failed = 0  # errors in a row
        self._num_before = 0  # dropped before the first of them
        self._problem = ""
        self._thread = threading.Thread(target=self._run, name=f"sage-tracker-{name}", daemon=True)
        self._thread.start()

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Queue the figures of a step. The oldest are dropped where the queue is full."""
        with self._changed:
            is_waiting = self._num_failed >= MAX_ERRORS and self._real_secs() < self._retry_secs
            if self._is_closing or self._is_over or is_waiting:
                self._num_dropped += 1
                return
            if len(self._queue) >= self._capacity:
                self._queue.popleft()
                self._num_dropped += 1
            self._queue.append((step, dict(figures)))
            self._changed.notify()

    def close(self, timeout_secs: float = CLOSE_SECS) -> None:
        """Hand over what is queued and close the sink; returns after `timeout_secs` at the latest."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(timeout_secs)
        found = self.statistics()
        num_lost = found.num_dropped + found.num_queued
        if self._thread.is_alive():
            log.warning("tracker did not end in time", tracker=self.name, seconds=timeout_secs, lost=num_lost)
        elif num_lost:
            log.warning("figures not tracked", tracker=self.name, lost=num_lost, error=found.problem)

    def statistics(self) -> SinkStatistics:
        with self._changed:
            return SinkStatistics(
                num_logged=self._num_logged,
                num_dropped=self._num_dropped,
                num_errors=self._num_errors,
                num_queued=len(self._queue),
                problem=self._problem,
            )

    def notices(self) -> tuple[str, ...]:
        """Problems to show in the live view; empty without any."""
        found = self.statistics()
        if not found.num_dropped and not found.problem:
            return ()
        parts = [f"{found.num_dropped:,} reports lost"] if found.num_dropped else []
        return (f"tracker {self.name}: {', '.join([*parts, *filter(None, [found.problem])])}",)

    def _run(self) -> None:
        try:
            sink = self._make()
        except BaseException as error:  # whatever a tracker's package raises
            pass_on(error)
            self._note(error, is_over=True)
            return
        try:
            while (item := self._next()) is not None:
                self._hand_over(sink, item)
        finally:
            try:
                sink.close()
            except BaseException as error:
                pass_on(error)
                self._note(error)

    def _next(self) -> tuple[int, Mapping[str, float]] | None:
        """The oldest queued figures, waiting for them; None once closing and empty, or failing."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._is_closing)
            if not self._queue or (self._is_closing and self._num_failed >= MAX_ERRORS):
                return None
            return self._queue.popleft()

    def _hand_over(self, sink: Sink, item: tuple[int, Mapping[str, float]]) -> None:
        try:
            sink.log(*item)
        except BaseException as error:
            pass_on(error)
            self._note(error, num_dropped=1)
            return
        with self._changed:
            self._num_logged += 1
            self._num_failed = 0
            has_failed, self._problem = bool(self._problem), ""
            num_lost = self._num_dropped - self._num_before
        if has_failed:
            log.info("tracker works again", tracker=self.name, lost=num_lost)

    def _note(self, error: BaseException, *, num_dropped: int = 0, is_over: bool = False) -> None:
        """num_dropped: figures lost by the error.  is_over: the sink is given up."""
        text = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        with self._changed:
            self._num_errors += 1
            self._num_failed += 1
            is_new = not self._problem
            self._problem = text
            if is_new:
                self._num_before = self._num_dropped
            self._num_dropped += num_dropped
            self._is_over |= is_over
            if self._is_over or self._num_failed >= MAX_ERRORS:
                # Drop what waits, and take nothing until it is time to try again.
                self._retry_secs = self._real_secs() + RETRY_SECS
                self._num_dropped += len(self._queue)
                self._queue.clear()
        if is_new:
            log.warning("tracker failed", tracker=self.name, error=text)
