"""The training loop: evaluate, save, stop?, step, tell.

Invariant: a run that was cut off anywhere and resumed ends with the very bits of one that was not.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from sage.hrm_core.evaluation.evaluate import evaluate
from sage.hrm_core.evaluation.report import EvalReport
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.optim.ranks import Ranks
from sage.hrm_core.tasks.contract import Task
from sage.hrm_core.training.callbacks import Callback, CallbackList, Progress
from sage.hrm_core.training.checkpoints import CheckpointFolder, resolve_checkpoint
from sage.hrm_core.training.compiling import compile_blocks, uncompiled
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.errors import ResumeError, TrainingDiverged
from sage.hrm_core.training.interruption import Interruption
from sage.hrm_core.training.learner import Learner
from sage.hrm_core.training.resuming import restore, snapshot
from sage.hrm_core.training.stopping import StopRule
from sage.hrm_core.training.stream import RowStream


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """step: steps done.  reason: why it ended.  is_interrupted: by a signal, so that it can be resumed.

    report: the last evaluation.  best_score: EvalReport.score, the best of all evaluations, after best_step.
    cpu_secs: of the steps, all threads; wall_secs: of the steps, on a GPU its own meter; both over all
    resumes.
    """

    step: int
    reason: str
    is_interrupted: bool
    report: EvalReport | None
    best_score: float
    best_step: int
    cpu_secs: float
    wall_secs: float
    num_bad_steps: int


@dataclass(slots=True, kw_only=True)
class TrainerState:
    """Where a run stands: what a checkpoint keeps of it beside the learner and the stream."""

    step: int = 0
    cpu_secs: float = 0.0
    wall_secs: float = 0.0
    best_score: float = -math.inf
    best_step: int = 0


class Trainer:
    """Trains `model` on `task`. folder: where checkpoints go; without one nothing is written and nothing can
    be resumed.

    Under torch.distributed every rank makes one and calls `train` alike; rank 0 writes and tells.
    """

    def __init__(
        self,
        model: HRM,
        task: Task,
        config: TrainConfig | None = None,
        *,
        folder: Path | str | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.model, self.task, self.config = model, task, config or TrainConfig()
        self._ranks = Ranks.current()
        self._folder = None if folder is None else CheckpointFolder(Path(folder), ranks=self._ranks)
        self._audience = CallbackList(callbacks if self._ranks.index == 0 else ())

    def train(
        self,
        *,
        steps: int | None = None,
        epochs: float | None = None,
        batch_size: int | None = None,
        resume: Path | str | bool = False,
    ) -> TrainResult:
        """Train to the end of the config's length, or of the one given here; the model then holds what was
        evaluated.

        resume: a checkpoint or a run's folder; True is the last of this one, or a fresh start where there is
        none.
        """
        if steps is not None or epochs is not None:
            self.config = replace(self.config, steps=steps, epochs=epochs)
        if batch_size is not None:
            self.config = replace(self.config, batch_size=batch_size)
        config = self.config
        num_steps = config.num_steps(getattr(self.task, "examples_per_epoch", None))
        learner = Learner(self.model, self.task.spec, config, num_steps=num_steps, ranks=self._ranks)
        stop_rule, standing, stream_state = StopRule(config), TrainerState(), None
        checkpoint = self._find(resume)
        if checkpoint is not None:
            plain = restore(checkpoint, learner, stop_rule, config, self._ranks)
            standing = TrainerState(**plain["standing"])
            stream_state = plain["stream"]
        if config.compile:
            compile_blocks(self.model)
        stream = RowStream(
            self.task,
            block_size=config.batch_size,
            seed=config.seed,
            timeout_secs=config.loader_timeout_secs,
            state=stream_state,
        )
        with stream, Interruption() as interruption:
            return self._loop(num_steps, learner, stop_rule, standing, stream, interruption)

    def _loop(
        self,
        num_steps: int,
        learner: Learner,
        stop_rule: StopRule,
        standing: TrainerState,
        stream: RowStream,
        interruption: Interruption,
    ) -> TrainResult:
        config, start, report = self.config, standing.step, None
        while True:
            reason = self._stop_reason(num_steps, stop_rule, standing, interruption)
            is_new = standing.step > start  # a resumed run did this step's work before it was saved

            is_best, evaluated = False, None
            if is_new and _is_due(
                standing.step, config.eval_every, is_end=reason is not None and not interruption.is_asked
            ):
                report = evaluated = self._evaluate(learner)
                is_best = report.score >= standing.best_score  # of equals the later: it was trained longer
                if is_best:
                    standing.best_score, standing.best_step = report.score, standing.step
                self._audience.on_evaluation(standing.step, report)

            if (
                self._folder
                and is_new
                and (is_best or _is_due(standing.step, config.save_every, is_end=reason is not None))
            ):
                path = self._folder.save(
                    snapshot(learner, stop_rule, stream, standing, self, evaluated), is_best=is_best
                )
                self._audience.on_save(standing.step, path, is_best)

            if reason is not None:
                break

            started, started_cpu = time.perf_counter(), _cpu_secs()
            facts = learner.step(
                standing.step + 1, stream
            )  # ends with the step's one readout: what the device did is in it
            standing.cpu_secs += _cpu_secs() - started_cpu
            standing.wall_secs += time.perf_counter() - started
            standing.step += 1

            try:
                stop_rule.note(facts)
            except TrainingDiverged as error:
                raise TrainingDiverged(f"{error}{self._last_good()}") from None
            self._audience.on_step(
                Progress(
                    facts=facts,
                    num_steps=num_steps,
                    cpu_secs=standing.cpu_secs,
                    num_bad_steps=stop_rule.num_bad,
                )
            )
        if learner.ema is not None:
            learner.ema.keep()
        return TrainResult(
            step=standing.step,
            reason=reason,
            is_interrupted=interruption.is_asked and standing.step < num_steps,
            report=report,
            best_score=standing.best_score,
            best_step=standing.best_step,
            cpu_secs=standing.cpu_secs,
            wall_secs=standing.wall_secs,
            num_bad_steps=stop_rule.num_bad,
        )

    def _stop_reason(
        self, num_steps: int, stop_rule: StopRule, standing: TrainerState, interruption: Interruption
    ) -> str | None:
        """None, or why this is the end; what only one rank knows is made known to all."""
        if standing.step >= num_steps:
            return "all steps done"
        reason = stop_rule.reason()
        if reason is not None:
            return reason
        limit = self.config.max_cpu_secs
        if limit is not None and standing.cpu_secs >= limit:
            reason = f"{standing.cpu_secs:.0f} CPU seconds of training: max_cpu_secs is {limit:g}"
        if interruption.is_asked:
            reason = "interrupted"
        if self._ranks.any(reason is not None):
            return reason or "another process was stopped"
        return None

    def _evaluate(self, learner: Learner) -> EvalReport:
        """The averaged weights, where there are any, on held-out puzzles."""
        averaged: AbstractContextManager[None] = (
            nullcontext() if learner.ema is None else learner.ema.applied()
        )
        with averaged, uncompiled():
            return evaluate(
                self.model,
                self.task,
                num=self.config.eval_examples,
                segments=self.config.eval_segments,
                ranks=self._ranks,
            )

    def _find(self, resume: Path | str | bool) -> Path | None:
        if isinstance(resume, bool):
            if resume and self._folder is None:
                raise ResumeError(
                    "resume is True and the trainer has no folder: give it one, or the checkpoint itself"
                )
            return self._folder.find() if resume and self._folder else None
        return resolve_checkpoint(Path(resume))

    def _last_good(self) -> str:
        path = self._folder.find() if self._folder else None
        return f"; the last good checkpoint is {path}" if path else ""


def _cpu_secs() -> float:
    """All threads of this process, and the children it has waited for (compilers)."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def _is_due(step: int, every: int, *, is_end: bool) -> bool:
    return is_end or (every > 0 and step % every == 0)
