"""`sage train --dry-run`: data and model are checked, and the cost of the run is estimated from two small
steps.

Invariant: nothing is written, and at most LARGE_ROWS rows are trained on, whatever the recipe's batch size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sage.app.models.training.building import build_task
from sage.app.models.training.processes import chosen_device
from sage.app.models.training.run import TrainRequest, first_model, one_line
from sage.app.terminal.signals import raise_again
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.optim.ranks import SINGLE
from sage.hrm_core.tasks.contract import IGNORED, Task
from sage.hrm_core.training.callbacks import Progress
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.epoch import examples_per_epoch
from sage.hrm_core.training.learner import check_fit
from sage.hrm_core.training.trainer import Trainer

#: Rows of the two measured steps. A step costs a part for the weights and a part for each row.
SMALL_ROWS, LARGE_ROWS = 2, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What a dry run found. valid_labels: share of the labels looked at that are valid by the task's rules.

    step_cpu_secs: estimated for a step of the recipe's batch size, from steps of at most `rows` rows.
    """

    task: str
    cells: int
    symbols: int
    valid_labels: float
    held_out_differ: bool
    parameters: int
    steps: int
    rows: int
    step_cpu_secs: float

    @property
    def total_cpu_secs(self) -> float:
        return self.step_cpu_secs * self.steps


def dry_run(request: TrainRequest) -> DryRun:
    """Draw rows, check them, build the model, take two small steps. UserError; a signal ends it within a
    step.
    """
    recipe = request.recipe
    with one_line(recipe.name):
        device = chosen_device(request.device)
        task = build_task(recipe, request.data, request.eval_data)
        config = recipe.train
        num_steps = config.num_steps(examples_per_epoch(task))
        model = first_model(request, task).to(device)
        check_fit(model, task.spec, config, SINGLE)
        rows = task.sample(min(config.batch_size, 64), np.random.default_rng(config.seed))
        held_out = task.held_out(16)
        is_valid = task.verify(rows.inputs, np.where(rows.labels == IGNORED, rows.inputs, rows.labels))
        differs = not np.array_equal(held_out.inputs[: len(rows)], rows.inputs[: len(held_out)])
        return DryRun(
            task=task.spec.name,
            cells=task.spec.seq_len,
            symbols=task.spec.vocab_size,
            valid_labels=float(is_valid.mean()),
            held_out_differ=len(held_out) > 0 and differs,
            parameters=sum(weight.numel() for weight in model.parameters()),
            steps=num_steps,
            rows=min(LARGE_ROWS, config.batch_size),
            step_cpu_secs=_estimate(model, task, config),
        )


def _estimate(model: HRM, task: Task, config: TrainConfig) -> float:
    """CPU seconds of one step: a line through two sizes, or measured where the batch is small."""
    _measure(model, task, config, rows=1)  # the first step of a process also loads kernels
    if config.batch_size <= LARGE_ROWS:
        return _measure(model, task, config, rows=config.batch_size)
    small = _measure(model, task, config, rows=SMALL_ROWS)
    large = _measure(model, task, config, rows=LARGE_ROWS)
    per_row = max(0.0, large - small) / (LARGE_ROWS - SMALL_ROWS)
    return large + per_row * (config.batch_size - LARGE_ROWS)


class _OneStep:
    """A callback that stops its trainer after one step, so that no evaluation follows."""

    def __init__(self) -> None:
        self.is_done = False

    def on_step(self, progress: Progress) -> None:
        self.is_done = True

    def on_evaluation(self, step: int, report: object) -> None:
        """Evaluations are not run."""

    def on_save(self, step: int, path: object, is_best: bool) -> None:
        """Nothing is saved."""


def _measure(model: HRM, task: Task, config: TrainConfig, *, rows: int) -> float:
    once = _OneStep()
    config = replace(
        config, steps=1, epochs=None, batch_size=rows, micro_batches=1, compile=False, eval_every=0
    )
    trainer = Trainer(model, task, config, callbacks=[once], stop=lambda: once.is_done)
    result = trainer.train()
    if result.signal is not None:  # the trainer has handled the signal and ended
        raise_again(result.signal)
    return result.cpu_secs
