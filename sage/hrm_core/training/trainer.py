"""The training loop: stop?, evaluate, save, step, report.

Invariant: a run that is interrupted anywhere and resumed ends with the same weights, bit for bit, as one that
is not. What a task raises, in an evaluation or for a row, costs no step: the last one is saved before.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGINT, SIGTERM

from sage.errors import Interrupted, pass_on
from sage.hrm_core.evaluation.evaluate import check_held_out, evaluate
from sage.hrm_core.evaluation.report import EvalReport
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.optim.ranks import Ranks
from sage.hrm_core.tasks.contract import Task
from sage.hrm_core.training.callbacks import Callback, CallbackList, Progress
from sage.hrm_core.training.checkpoints import CheckpointFolder, read_newest, resumable
from sage.hrm_core.training.compiling import compile_blocks, uncompiled
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.epoch import examples_per_epoch
from sage.hrm_core.training.errors import LoaderError, ResumeError, TrainingDiverged
from sage.hrm_core.training.interruption import Interruption
from sage.hrm_core.training.learner import Learner, check_fit
from sage.hrm_core.training.resuming import check_resumable, restore, snapshot
from sage.hrm_core.training.stopping import StopRule
from sage.hrm_core.training.stream import RowStream, check_rows
from sage.hrm_core.training.trainer_state import TrainerState


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """step: steps done.  reason: why the run ended.  is_interrupted: by a signal, so that it can be resumed.

    signal: its number, of any process that trains; None where none arrived.
    report: the last evaluation.  best_score: EvalReport.score, the best of all evaluations, after best_step.
    cpu_secs: CPU time of the steps, all threads.  wall_secs: wall-clock time of the steps.  Both over all
    resumes.
    num_bad_steps: steps skipped because the loss or the gradient was not finite.
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
    signal: int | None = None


@dataclass(slots=True, kw_only=True)
class _Run:
    """The parts of one call of `Trainer.train`.

    is_stopped: whether a signal or the caller ends the run.  raising: a block that a signal ends with
    Interrupted.
    is_cut: whether one was ended so.  saved_step: of the last checkpoint.
    is_evaluated: whether the weights were evaluated after the last step; True before the first.
    """

    num_steps: int
    learner: Learner
    stop_rule: StopRule
    state: TrainerState
    stream: RowStream
    is_stopped: Callable[[], bool]
    raising: Callable[[], AbstractContextManager[None]]
    saved_step: int
    is_evaluated: bool
    is_cut: bool = False


class Trainer:
    """Trains `model` on `task`. folder: for checkpoints; without one nothing is written and nothing can be
    resumed.

    stop: a callable that returns True when the run should end after the current step, besides SIGINT and
    SIGTERM. Under torch.distributed every rank makes a Trainer and calls `train`; only rank 0 writes and runs
    callbacks.
    """

    def __init__(
        self,
        model: HRM,
        task: Task,
        config: TrainConfig | None = None,
        *,
        folder: Path | str | None = None,
        callbacks: Sequence[Callback] = (),
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.model = model
        self.task = task
        self.config = config or TrainConfig()
        self._stop = stop
        self._ranks = Ranks.current()
        self._folder = None if folder is None else CheckpointFolder(Path(folder), ranks=self._ranks)
        self._callbacks = CallbackList(callbacks if self._ranks.index == 0 else ())

    def train(
        self,
        *,
        steps: int | None = None,
        epochs: float | None = None,
        batch_size: int | None = None,
        resume: Path | str | bool = False,
    ) -> TrainResult:
        """Train for the config's length, or for the length given here; the model then has the evaluated
        weights.

        resume: a checkpoint or a run's folder; True: this trainer's last checkpoint, or from the start if
        there is none. Of a folder, the newest one that is whole; one that is damaged is logged and kept.
        TrainingDiverged, LoaderError, ResumeError; InputError for a config that does not fit.
        """
        self._set_length(steps, epochs, batch_size)
        config = self.config
        num_steps = config.num_steps(examples_per_epoch(self.task))
        learner = Learner(self.model, self.task.spec, config, num_steps=num_steps, ranks=self._ranks)
        stop_rule = StopRule(config)
        state = TrainerState()
        stream_state = None
        is_evaluated = True
        candidates = self._candidates(resume)
        if candidates:
            plain = read_newest(
                candidates,
                lambda path: restore(path, learner, stop_rule, config, self.task.spec, self._ranks),
                self._ranks,
                is_noted=True,
            )
            state = TrainerState(**plain["standing"])
            stream_state = plain["stream"]
            is_evaluated = plain["evaluation"] is not None
        if config.compile:
            compile_blocks(self.model)
        interruption = Interruption()
        # several processes evaluate and draw rows together: one that stopped there would leave the others
        # waiting
        raising = interruption.raising if self._ranks.count == 1 else nullcontext
        stream = RowStream(
            self.task,
            block_size=config.batch_size,
            seed=config.seed,
            timeout_secs=config.loader_timeout_secs,
            state=stream_state,
            waiting=raising,
        )
        with stream, interruption:
            run = _Run(
                num_steps=num_steps,
                learner=learner,
                stop_rule=stop_rule,
                state=state,
                stream=stream,
                is_stopped=lambda: interruption.is_requested or self._stop(),
                raising=raising,
                saved_step=state.step,
                is_evaluated=is_evaluated,
            )
            result = self._loop(run)
            return replace(result, signal=self._signal(interruption.number))

    def _signal(self, number: int | None) -> int | None:
        """Alike on all ranks: of several signals SIGTERM."""
        return next((each for each in (SIGTERM, SIGINT) if self._ranks.any(number == each)), None)

    def check(self, resume: Path | str | bool = False) -> None:
        """Raise what `train` would raise before its first step for this config and checkpoint; change
        nothing.

        LoaderError where the task cannot draw a training row, InputError where it has no held-out puzzle.
        """
        self.config.num_steps(examples_per_epoch(self.task))
        check_fit(self.model, self.task.spec, self.config, self._ranks)
        candidates = self._candidates(resume)
        if candidates:
            ours = self.model.config, self.config, self.task.spec, self._ranks
            read_newest(candidates, lambda path: check_resumable(path, *ours), self._ranks, is_noted=False)
        check_rows(self.task, self.config.seed)
        check_held_out(self.task)

    def _set_length(self, steps: int | None, epochs: float | None, batch_size: int | None) -> None:
        if steps is not None or epochs is not None:
            self.config = replace(self.config, steps=steps, epochs=epochs)
        if batch_size is not None:
            self.config = replace(self.config, batch_size=batch_size)

    def _loop(self, run: _Run) -> TrainResult:
        state = run.state
        report = None
        # a resumed run evaluated and saved its first step before it ended, unless a signal ended it before
        is_end = self._stop_reason(run, is_stopped=False) is not None
        is_due = _is_due(state.step, self.config.eval_every, is_end=is_end)
        is_new = state.step > 0 and is_due and not run.is_evaluated
        while True:
            is_stopped = self._ranks.any(run.is_stopped())  # all of them then save, and none evaluates
            reason = self._stop_reason(run, is_stopped)
            if is_new or (run.is_cut and state.step != run.saved_step):
                report = self._finish_step(run, reason, is_stopped) or report
            if reason is not None:
                break
            is_new = not run.is_cut and self._step(run)
        if run.learner.ema is not None:
            run.learner.ema.copy_to_weights()
        # after the last step, too: it is still to be evaluated
        is_cut = run.is_cut or (is_stopped and not run.is_evaluated)
        return TrainResult(
            step=state.step,
            reason="interrupted" if is_cut else reason,
            is_interrupted=is_cut or (is_stopped and state.step < run.num_steps),
            report=report,
            best_score=state.best_score,
            best_step=state.best_step,
            cpu_secs=state.cpu_secs,
            wall_secs=state.wall_secs,
            num_bad_steps=run.stop_rule.num_bad,
        )

    def _finish_step(self, run: _Run, reason: str | None, is_stopped: bool) -> EvalReport | None:
        """Evaluate and save where the step is due for it; the evaluation, if there was one."""
        state = run.state
        is_end = reason is not None
        report, is_best = None, False
        if _is_due(state.step, self.config.eval_every, is_end=is_end and not is_stopped):
            report = self._evaluate(run)
        if report is not None:
            run.is_evaluated = True
            is_best = report.score >= state.best_score  # of equal scores the later, trained longer
            if is_best:
                state.best_score = report.score
                state.best_step = state.step
            self._callbacks.on_evaluation(state.step, report)
        is_end = is_end or run.is_cut
        if is_best or _is_due(state.step, self.config.save_every, is_end=is_end):
            self._save(run, report, is_best=is_best)
        return report

    def _save(self, run: _Run, report: EvalReport | None, *, is_best: bool = False) -> None:
        if self._folder is None:
            return
        step, spec = run.state.step, self.task.spec
        checkpoint = snapshot(run.learner, run.stop_rule, run.stream, run.state, self.config, spec, report)
        path = self._folder.save(checkpoint, is_best=is_best)
        run.saved_step = step
        self._callbacks.on_save(step, path, is_best)

    def _save_before_error(self, run: _Run) -> None:
        """Several processes write a checkpoint together, and the others did not fail here: none then."""
        if self._ranks.count == 1 and run.state.step != run.saved_step:
            with suppress(OSError):  # the error that is on its way is what is reported
                self._save(run, None)

    def _step(self, run: _Run) -> bool:
        """One step; False where a signal ended it while it waited for rows, before it changed anything."""
        state = run.state
        started, started_cpu = time.perf_counter(), _cpu_secs()
        try:
            facts = run.learner.step(
                state.step + 1, run.stream
            )  # ends with a sync, so device time is included
        except Interrupted:
            run.is_cut = True
            return False
        except LoaderError:  # before anything was changed
            self._save_before_error(run)
            raise
        state.cpu_secs += _cpu_secs() - started_cpu
        state.wall_secs += time.perf_counter() - started
        state.step += 1
        run.is_evaluated = False
        try:
            run.stop_rule.note(facts)
        except TrainingDiverged as error:
            raise TrainingDiverged(f"{error}{self._last_good()}") from None
        progress = Progress(
            facts=facts,
            num_steps=run.num_steps,
            cpu_secs=state.cpu_secs,
            num_bad_steps=run.stop_rule.num_bad,
        )
        self._callbacks.on_step(progress)
        return True

    def _stop_reason(self, run: _Run, is_stopped: bool) -> str | None:
        """Why the run ends here, or None: alike on all ranks."""
        state = run.state
        if state.step >= run.num_steps:
            return "all steps done"
        reason = run.stop_rule.reason()
        if reason is not None:
            return reason
        if is_stopped:
            return "interrupted"
        limit = self.config.max_cpu_secs
        if limit is not None and self._ranks.any(state.cpu_secs >= limit):
            return f"{state.cpu_secs:.0f} CPU seconds of training: max_cpu_secs is {limit:g}"
        return None

    def _evaluate(self, run: _Run) -> EvalReport | None:
        """Evaluate the averaged weights, if there are any, on held-out puzzles; None where a signal ended
        it.
        """
        ema = run.learner.ema
        averaged: AbstractContextManager[None] = nullcontext() if ema is None else ema.applied()
        try:
            with averaged, uncompiled(), run.raising():
                return evaluate(
                    self.model,
                    self.task,
                    num=self.config.eval_examples,
                    segments=self.config.eval_segments,
                    ranks=self._ranks,
                )
        except Interrupted:
            run.is_cut = True
            return None
        except BaseException as error:  # of the task, which may be a plug-in
            pass_on(error)
            self._save_before_error(run)
            raise

    def _candidates(self, resume: Path | str | bool) -> list[Path]:
        """The checkpoints to resume from, the newest first; none: from the start."""
        if isinstance(resume, bool):
            if resume and self._folder is None:
                raise ResumeError(
                    "resume is True and the trainer has no folder: give it a folder, or pass the checkpoint's"
                    " path"
                )
            return self._folder.newest_first() if resume and self._folder else []
        return resumable(Path(resume))

    def _last_good(self) -> str:
        path = self._folder.find() if self._folder else None
        return f"; the last good checkpoint is {path}" if path else ""


def _cpu_secs() -> float:
    """CPU time of all threads of this process and of child processes that have ended (compilers)."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def _is_due(step: int, every: int, *, is_end: bool = False) -> bool:
    return is_end or (every > 0 and step % every == 0)
