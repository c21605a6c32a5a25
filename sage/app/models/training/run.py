"""`sage train`: one run in a folder of its own, from a recipe to a model that `sage solve` takes.

Layout of a run:  run.json  recipe.json  metrics.jsonl  checkpoints/  model/{config.json, model.safetensors,
task.json} model-last/, likewise. `model` is the best of the run's evaluations by the task's own score,
`model-last` its last.
Invariant: whatever was wrong with what was typed is a UserError before the first step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sage.app.models.training.data import examples_per_epoch
from sage.app.models.training.recipe import Recipe
from sage.app.terminal.errors import UserError

if TYPE_CHECKING:
    from sage.hrm_core.model.hrm import HRM
    from sage.hrm_core.optim.ranks import Ranks
    from sage.hrm_core.tasks.contract import Task
    from sage.hrm_core.training.config import TrainConfig
    from sage.hrm_core.training.trainer import TrainResult


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRequest:
    """What `sage train` was told beside the recipe. out: the run's folder; None names one under the state
    directory.
    """

    recipe: Recipe
    data: Path | None = None
    eval_data: Path | None = None
    out: Path | None = None
    state_dir: Path | None = None
    resume: bool = False
    device: str = "auto"
    wandb_project: str | None = None
    tensorboard: bool = False
    shows_progress: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    folder: Path
    result: TrainResult


def train(request: TrainRequest) -> Trained:
    """Run it to its end, or until it is interrupted."""
    from sage.app.models.training.building import build_model, build_task
    from sage.app.models.training.processes import joined_ranks
    from sage.app.models.training.publishing import publish

    with joined_ranks(request.device) as (ranks, device):
        task = build_task(request.recipe, request.data, request.eval_data)
        model = build_model(request.recipe, task.spec).to(device)
        folder = _folder(request, ranks)
        with ExitStack() as stack:
            result = _train(request, task, model, folder, ranks, stack)
        if ranks.index == 0 and not result.is_interrupted:
            publish(request.recipe, model, folder, request.data)
        return Trained(folder=folder, result=result)


def dry_run(request: TrainRequest) -> dict[str, Any]:
    """Draw rows, check them, build the model, take one step; write nothing. What was found, for people."""
    import numpy as np

    from sage.app.models.training.building import build_model, build_task
    from sage.app.models.training.processes import chosen_device
    from sage.hrm_core.tasks.contract import IGNORED
    from sage.hrm_core.training.trainer import Trainer

    task = build_task(request.recipe, request.data, request.eval_data)
    config = _with_epochs(request.recipe, task)
    rows = task.sample(min(config.batch_size, 64), np.random.default_rng(config.seed))
    held_out = task.held_out(16)
    is_valid = task.verify(rows.inputs, np.where(rows.labels == IGNORED, rows.inputs, rows.labels))
    model = build_model(request.recipe, task.spec).to(chosen_device(request.device))
    num_steps = config.num_steps()
    with _one_line(request.recipe.name):
        once = replace(
            config, steps=1, epochs=None, eval_examples=min(16, config.eval_examples), compile=False
        )
        result = Trainer(model, task, once).train()
    return {
        "task": task.spec.name,
        "cells": task.spec.seq_len,
        "symbols": task.spec.vocab_size,
        "valid_labels": float(is_valid.mean()),
        "held_out_differ": bool(len(held_out))
        and not np.array_equal(held_out.inputs[: len(rows)], rows.inputs[: len(held_out)]),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "steps": num_steps,
        "step_cpu_secs": result.cpu_secs,
        "total_cpu_secs": result.cpu_secs * num_steps,
    }


def _train(
    request: TrainRequest, task: Task, model: HRM, folder: Path, ranks: Ranks, stack: ExitStack
) -> TrainResult:
    from sage.app.models.training.progress import ProgressBar
    from sage.app.models.training.sinks import open_sinks
    from sage.hrm_core.training.callbacks import Callback
    from sage.hrm_core.training.tracker import ExperimentTracker
    from sage.hrm_core.training.trainer import Trainer

    config = _with_epochs(request.recipe, task)
    callbacks: list[Callback] = []
    if ranks.index == 0:
        sinks = open_sinks(folder, wandb_project=request.wandb_project, tensorboard=request.tensorboard)
        about = {"recipe": dataclasses.asdict(request.recipe), "num_processes": ranks.count}
        callbacks.append(
            stack.enter_context(ExperimentTracker(folder, run_id=folder.name, about=about, sinks=sinks))
        )
        if request.shows_progress:
            callbacks.append(stack.enter_context(ProgressBar()))
    trainer = Trainer(model, task, config, folder=folder / "checkpoints", callbacks=callbacks)
    with _one_line(request.recipe.name):
        return trainer.train(resume=request.resume)


def _with_epochs(recipe: Recipe, task: Task) -> TrainConfig:
    """The recipe's training with the size of an epoch, where the task was loaded and knows it."""
    config = recipe.train
    if config.epochs is None or config.examples_per_epoch is not None:
        return config
    known = examples_per_epoch(task)
    if known is None:
        raise UserError(f"{recipe.name}: epochs of puzzles that are made fresh: give --steps, or --data")
    return replace(config, examples_per_epoch=known)


def _folder(request: TrainRequest, ranks: Ranks) -> Path:
    """Made, or found to be the one to go on with."""
    from sage.app.config.state_dir import default_state_dir
    from sage.hrm_core.training.tracker import make_run_id

    if request.out is None:
        if request.resume:
            raise UserError("--resume: of which run? give its folder with --out DIR")
        if ranks.count > 1:
            raise UserError("--out: missing: processes that train together need one folder, give --out DIR")
        root = request.state_dir or default_state_dir()
        return root / "training" / make_run_id(request.recipe.name)
    has_run = (request.out / "checkpoints" / "last").is_file()
    if request.resume and not has_run:
        raise UserError(f"--resume: {request.out} holds no checkpoint: leave --resume out to start there")
    if has_run and not request.resume:
        raise UserError(
            f"--out {request.out}: holds a run already: go on with --resume, or give another folder"
        )
    if request.out.exists() and not request.out.is_dir():
        raise UserError(f"--out {request.out}: is a file: give a folder")
    return request.out


@contextmanager
def _one_line(name: str) -> Iterator[None]:
    """What a person can mend, as one line."""
    from sage.hrm_core.training.errors import ResumeError

    try:
        yield
    except ResumeError as error:
        raise UserError(f"--resume: {error}") from error
    except ValueError as error:
        raise UserError(f"{name}: {error}") from error
