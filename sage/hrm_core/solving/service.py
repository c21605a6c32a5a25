"""One model for many callers: puzzles of all callers share one batch.

Invariant: every future ends: with a solution, with the error of its own puzzle, with the model's error in its
batch, or cancelled. What a task raises for a puzzle stops no thread, nor does a model's error that passes.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from sage.errors import InputError, SageError, pass_on
from sage.hrm_core.solving.engine import Engine, SegmentModel
from sage.hrm_core.solving.job import Job
from sage.hrm_core.solving.rules import Verifier
from sage.hrm_core.solving.search_record import SearchRecord
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.solving.solutions import Solution
from sage.hrm_core.solving.step_record import StepRecord

#: Errors of the model in this many steps in a row stop the thread: out of memory may pass, a device that has
#: failed does not.
MAX_MODEL_FAULTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrival:
    """A submitted puzzle that the thread has not taken yet."""

    cells: np.ndarray
    settings: SolveSettings
    puzzle_id: int
    record: SearchRecord | None
    steps: StepRecord | None
    future: Future[Solution]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatistics:
    """num_waiting: puzzles not started or in progress.  num_failed: those that the task or the model raised
    an error for.  num_segments: of the batch, since the start.
    """

    num_waiting: int
    num_solved: int
    num_failed: int
    num_segments: int


class ServiceFull(SageError, RuntimeError):
    """The queue is full: submit again later."""


class ServiceClosed(SageError, RuntimeError):
    """The service was closed, or the model's errors stopped its thread."""


class TaskFailed(SageError, RuntimeError):
    """A task's own code raised an error for a puzzle: its cause."""

    @classmethod
    def of(cls, fault: BaseException) -> TaskFailed:
        failed = cls(f"the task failed: {_in_a_line(fault)}: correct the task")
        failed.__cause__ = fault
        return failed


class ModelFailed(SageError, RuntimeError):
    """The model, or its device, raised an error for a batch of puzzles: its cause."""

    @classmethod
    def of(cls, fault: BaseException) -> ModelFailed:
        failed = cls(
            f"the model failed: {_in_a_line(fault)}: submit the puzzle again, or fewer of them at a time"
        )
        failed.__cause__ = fault
        return failed


def _in_a_line(fault: BaseException) -> str:
    return f"{type(fault).__name__}: {' '.join(str(fault).split())[:200]}"


class SolvingService:
    """A thread that owns the model. `submit` never blocks; a cancelled future leaves the batch.

    niceness: added to the thread's nice value on Linux, 0 to 19: above 0 other threads run first.
    """

    def __init__(
        self,
        model: SegmentModel,
        verifier: Verifier | None = None,
        *,
        batch_size: int = 64,
        max_waiting: int = 4096,
        niceness: int = 0,
    ) -> None:
        self._model, self._verifier, self._batch_size = model, verifier, batch_size
        self._engine = self._new_engine()
        self._max_waiting, self._niceness = max_waiting, niceness
        self._changed = threading.Condition()
        self._futures: dict[Job, Future[Solution]] = {}
        self._arrived: deque[_Arrival] = deque()
        self._is_closed = False
        self._num_solved = 0
        self._num_failed = 0
        self._num_segments = 0
        self._num_faults = 0  # steps in a row
        self._thread = threading.Thread(target=self._work, name="sage-solving", daemon=True)
        self._thread.start()

    def beside(self, model: SegmentModel, verifier: Verifier | None) -> SolvingService:
        """Another service of the same limits, with a thread of its own."""
        return SolvingService(
            model,
            verifier,
            batch_size=self._batch_size,
            max_waiting=self._max_waiting,
            niceness=self._niceness,
        )

    def _new_engine(self) -> Engine:
        return Engine(self._model, self._verifier, batch_size=self._batch_size, holds_faults=True)

    def submit(
        self,
        cells: np.ndarray,
        settings: SolveSettings,
        *,
        puzzle_id: int = -1,
        record: SearchRecord | None = None,
        steps: StepRecord | None = None,
    ) -> Future[Solution]:
        """A future of the solution of cells (L,); its result raises InputError if they do not fit the model,
        TaskFailed if the task raises an error for them, ModelFailed if the model does in their batch.
        record: filled by the puzzle's search, steps: by its plain try, until the future ends.

        ServiceFull if max_waiting puzzles wait, ServiceClosed after `close`.
        """
        future: Future[Solution] = Future()
        with self._changed:
            if self._is_closed:
                raise ServiceClosed("the solving service is closed: start another")
            if len(self._arrived) + len(self._futures) >= self._max_waiting:
                raise ServiceFull(f"{self._max_waiting} puzzles are waiting already: submit again later")
            self._arrived.append(
                _Arrival(
                    cells=cells,
                    settings=settings,
                    puzzle_id=puzzle_id,
                    record=record,
                    steps=steps,
                    future=future,
                )
            )
            self._changed.notify()
        return future

    @property
    def is_running(self) -> bool:
        """False after `close`, or after the model's errors stopped the thread."""
        with self._changed:
            return not self._is_closed

    def statistics(self) -> ServiceStatistics:
        with self._changed:
            waiting = len(self._arrived) + len(self._futures)
            return ServiceStatistics(
                num_waiting=waiting,
                num_solved=self._num_solved,
                num_failed=self._num_failed,
                num_segments=self._num_segments,
            )

    def close(self) -> None:
        """Cancel the waiting puzzles and join the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        fault: ModelFailed | None = None
        try:
            if self._niceness and sys.platform == "linux":  # there it is of one thread
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.nice(0) + self._niceness)
            while self._admit():
                self._take_step()
        except BaseException as error:  # the top of a worker: every waiting future raises it
            pass_on(error)
            fault = ModelFailed.of(error)
        with self._changed:
            self._is_closed = True
            left = [*self._futures.values(), *(arrival.future for arrival in self._arrived)]
            self._num_failed += 0 if fault is None else len(left)
            self._futures.clear()
            self._arrived.clear()
        _end(left, fault)

    def _take_step(self) -> None:
        """Raises the model's error where MAX_MODEL_FAULTS steps in a row have failed."""
        try:
            settled = self._engine.step()
        except BaseException as error:  # around the model, which may be a plug-in
            pass_on(error)
            self._num_faults += 1
            if self._num_faults >= MAX_MODEL_FAULTS:
                raise
            self._start_over(ModelFailed.of(error))
        else:
            self._num_faults = 0
            self._deliver(settled)

    def _start_over(self, fault: ModelFailed) -> None:
        """End the batch with this error, and begin another with an engine of its own."""
        with self._changed:
            left = list(self._futures.values())
            self._num_failed += len(left)
            self._futures.clear()
        self._engine = self._new_engine()
        _end(left, fault)

    def _admit(self) -> bool:
        """Submit new puzzles, withdraw cancelled ones; blocks while there are none. False if the service is
        closed.
        """
        with self._changed:
            while not (self._arrived or self._futures or self._is_closed):
                self._changed.wait()
            arrived = self._arrived
            self._arrived = deque()
            if self._is_closed:
                self._arrived = arrived
                return False
            for each in arrived:
                with self._error_to(each.future):
                    job = self._engine.submit(
                        each.cells,
                        each.settings,
                        puzzle_id=each.puzzle_id,
                        record=each.record,
                        steps=each.steps,
                    )
                    self._futures[job] = each.future
            for job in [job for job, future in self._futures.items() if future.cancelled()]:
                self._engine.withdraw(job)
                self._futures.pop(job).set_running_or_notify_cancel()
            return True

    def _deliver(self, settled: list[Job]) -> None:
        with self._changed:
            self._num_segments += 1
            self._num_failed += (num_failed := sum(job.fault is not None for job in settled))
            self._num_solved += len(settled) - num_failed
            futures = [(self._futures.pop(job), job) for job in settled]
        for future, job in futures:
            if not future.set_running_or_notify_cancel():
                continue
            if job.fault is None:
                future.set_result(job.solution())
            else:
                future.set_exception(TaskFailed.of(job.fault))

    @contextmanager
    def _error_to(self, future: Future[Solution]) -> Iterator[None]:
        """An error inside, of a puzzle that arrives, becomes the future's exception."""
        error: SageError
        try:
            yield
            return
        except InputError as wrong:
            error = wrong
        except BaseException as fault:  # around a plug-in
            pass_on(fault)
            self._num_failed += 1
            error = TaskFailed.of(fault)
        if future.set_running_or_notify_cancel():
            future.set_exception(error)


def _end(futures: Iterable[Future[Solution]], fault: ModelFailed | None) -> None:
    """With the error, or cancelled where there is none."""
    for future in futures:
        if fault is None:
            future.cancel()
        elif future.set_running_or_notify_cancel():
            future.set_exception(fault)
