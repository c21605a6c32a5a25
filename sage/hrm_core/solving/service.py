"""One model for many callers: their puzzles meet in one batch, whoever asked and whenever.

Invariant: every promise ends: with a solution, with the fault that stopped the thread, or cancelled.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from sage.errors import SageError
from sage.hrm_core.solving.engine import Engine, SegmentModel, Verifier
from sage.hrm_core.solving.job import Job
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.solving.solutions import Solution


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatistics:
    """num_waiting: puzzles nobody has begun or that are under way.  num_segments: of the batch, since the
    start.
    """

    num_waiting: int
    num_solved: int
    num_segments: int


class ServiceFull(SageError, RuntimeError):
    """As many puzzles wait as may. The caller should come back later."""


class ServiceClosed(SageError, RuntimeError):
    """The service was closed, or a fault stopped its thread."""


class SolvingService:
    """A thread that owns the model. `submit` never blocks; a promise that is cancelled leaves the batch."""

    def __init__(
        self,
        model: SegmentModel,
        verifier: Verifier | None = None,
        *,
        batch_size: int = 64,
        max_waiting: int = 4096,
    ) -> None:
        self._engine, self._max_waiting = Engine(model, verifier, batch_size=batch_size), max_waiting
        self._changed = threading.Condition()
        self._promises: dict[Job, Future[Solution]] = {}
        self._arrived: deque[tuple[np.ndarray, SolveSettings, int, Future[Solution]]] = deque()
        self._is_closed, self._num_solved, self._num_segments = False, 0, 0
        self._thread = threading.Thread(target=self._work, name="sage-solving", daemon=True)
        self._thread.start()

    def submit(self, cells: np.ndarray, settings: SolveSettings, *, puzzle_id: int = -1) -> Future[Solution]:
        """A promise of the solution of cells (L,). It raises InputError where they do not fit. ServiceFull
        when too many wait.
        """
        promise: Future[Solution] = Future()
        with self._changed:
            if self._is_closed:
                raise ServiceClosed("the solving service is closed: start another")
            if len(self._arrived) + len(self._promises) >= self._max_waiting:
                raise ServiceFull(f"{self._max_waiting} puzzles wait already: come back later")
            self._arrived.append((cells, settings, puzzle_id, promise))
            self._changed.notify()
        return promise

    @property
    def is_running(self) -> bool:
        """False once it was closed, or a fault stopped it."""
        with self._changed:
            return not self._is_closed

    def statistics(self) -> ServiceStatistics:
        with self._changed:
            waiting = len(self._arrived) + len(self._promises)
            return ServiceStatistics(
                num_waiting=waiting, num_solved=self._num_solved, num_segments=self._num_segments
            )

    def close(self) -> None:
        """Cancel what waits, and join the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        fault: BaseException | None = None
        try:
            while self._admit():
                settled = self._engine.step()
                self._deliver(settled)
        except Exception as error:  # the top of a worker: whoever waits is told, by the promise
            fault = error
        with self._changed:
            self._is_closed = True
            left = [*self._promises.values(), *(arrival[-1] for arrival in self._arrived)]
            self._promises.clear()
            self._arrived.clear()
        for promise in left:
            if fault is None:
                promise.cancel()
            elif promise.set_running_or_notify_cancel():
                promise.set_exception(fault)

    def _admit(self) -> bool:
        """Take what has arrived, drop what was cancelled; sleeps while there is nothing to do. False:
        closed.
        """
        with self._changed:
            while not (self._arrived or self._promises or self._is_closed):
                self._changed.wait()
            arrived, self._arrived = self._arrived, deque()
            if self._is_closed:
                self._arrived = arrived
                return False
            for cells, settings, puzzle_id, promise in arrived:
                with _told(promise):
                    self._promises[self._engine.submit(cells, settings, puzzle_id=puzzle_id)] = promise
            for job in [job for job, promise in self._promises.items() if promise.cancelled()]:
                self._engine.withdraw(job)
                self._promises.pop(job).set_running_or_notify_cancel()
            return True

    def _deliver(self, settled: list[Job]) -> None:
        with self._changed:
            self._num_segments += 1
            self._num_solved += len(settled)
            promises = [(self._promises.pop(job), job) for job in settled]
        for promise, job in promises:
            if promise.set_running_or_notify_cancel():
                promise.set_result(job.solution())


@contextmanager
def _told(promise: Future[Solution]) -> Iterator[None]:
    """A puzzle that does not fit is its caller's fault, and nobody else's."""
    try:
        yield
    except ValueError as error:
        if promise.set_running_or_notify_cancel():
            promise.set_exception(error)
