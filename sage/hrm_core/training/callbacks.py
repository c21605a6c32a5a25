"""How a run tells others what it does. It asks nothing of them, and a failing one is dropped, never the run.

Invariant: callbacks are called on the training thread, in the order given, on rank 0 alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from sage.hrm_core.evaluation.report import EvalReport
from sage.hrm_core.training.learner import StepFacts

log = structlog.get_logger("sage.hrm_core")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run stands after a step. cpu_secs: of training steps, all threads, over all resumes."""

    facts: StepFacts
    num_steps: int
    cpu_secs: float
    num_bad_steps: int


class Callback(Protocol):
    def on_step(self, progress: Progress) -> None: ...
    def on_evaluation(self, step: int, report: EvalReport) -> None: ...
    def on_save(self, step: int, path: Path, is_best: bool) -> None: ...


class CallbackList:
    """All callbacks of a run as one."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self._callbacks = list(callbacks)

    def on_step(self, progress: Progress) -> None:
        self._tell(lambda each: each.on_step(progress))

    def on_evaluation(self, step: int, report: EvalReport) -> None:
        self._tell(lambda each: each.on_evaluation(step, report))

    def on_save(self, step: int, path: Path, is_best: bool) -> None:
        self._tell(lambda each: each.on_save(step, path, is_best))

    def _tell(self, tell: Callable[[Callback], None]) -> None:
        self._callbacks = [callback for callback in self._callbacks if _is_told(tell, callback)]


def _is_told(tell: Callable[[Callback], None], callback: Callback) -> bool:
    try:
        tell(callback)
    except Exception as error:  # around a plug-in: said once, and left out from now on
        log.warning(
            "a training callback failed and is dropped", callback=type(callback).__name__, reason=str(error)
        )
        return False
    return True
