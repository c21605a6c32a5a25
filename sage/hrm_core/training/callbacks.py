"""Callbacks of a training run. One that raises is dropped with a warning; the run continues.

Invariant: callbacks are called on the training thread, in the order given, on rank 0 only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from sage.errors import pass_on
from sage.hrm_core.evaluation.report import EvalReport
from sage.hrm_core.training.learner import StepFacts

log = structlog.get_logger("sage.hrm_core")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The position of a run after a step. cpu_secs: CPU time of the steps, all threads, resumed runs
    included.
    """

    facts: StepFacts
    num_steps: int
    cpu_secs: float
    num_bad_steps: int


class Callback(Protocol):
    def on_step(self, progress: Progress) -> None: ...
    def on_evaluation(self, step: int, report: EvalReport) -> None: ...
    def on_save(self, step: int, path: Path, is_best: bool) -> None: ...


class CallbackList:
    """All callbacks of a run, called in order."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self._callbacks = list(callbacks)

    def on_step(self, progress: Progress) -> None:
        self._call(lambda each: each.on_step(progress))

    def on_evaluation(self, step: int, report: EvalReport) -> None:
        self._call(lambda each: each.on_evaluation(step, report))

    def on_save(self, step: int, path: Path, is_best: bool) -> None:
        self._call(lambda each: each.on_save(step, path, is_best))

    def _call(self, call: Callable[[Callback], None]) -> None:
        self._callbacks = [callback for callback in self._callbacks if _has_succeeded(call, callback)]


def _has_succeeded(call: Callable[[Callback], None], callback: Callback) -> bool:
    try:
        call(callback)
    except BaseException as error:  # a callback may be a plug-in
        pass_on(error)
        log.warning(
            "training callback failed and is no longer called",
            callback=type(callback).__name__,
            reason=str(error),
        )
        return False
    return True
