"""The models that a run leaves: the best and the last, in the form that solve, serve and eval load.

Invariant: a published model's card has the step at which it was saved, and its score there. The best was
chosen by its score on the evaluation set, so that this score flatters it a little; a set that was never
looked at does not.
"""

from __future__ import annotations

import dataclasses
import json
from math import isqrt
from pathlib import Path
from typing import Any, get_args

import structlog

from sage.app.models.training.recipe import Recipe, TaskPart
from sage.app.terminal.errors import UserError
from sage.durable import write_file
from sage.hrm_core.config.fronts import TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.published import save_published
from sage.hrm_core.solving.task_card import TaskCard
from sage.hrm_core.tasks.catalogue import make_task, task_kind
from sage.hrm_core.training.best_model import BestModel, Which, load_best_model
from sage.hrm_core.training.errors import DamagedCheckpoint

log = structlog.get_logger("sage.app")
FOLDERS: dict[Which, str] = {"best": "model", "last": "model-last"}


def publish(recipe: Recipe, model: HRM, folder: Path, data: Path | None = None) -> None:
    """Write model/, model-last/ and recipe.json from the run's checkpoints. `model` then holds the last's
    weights.

    data: what the run was trained on, where it was a built folder or a file.
    """
    for which in get_args(Which):
        best = _load(folder / "checkpoints", which)
        if best is None:
            continue
        model.load_state_dict(dict(best.weights))
        trained = {
            "recipe": recipe.name,
            "preset": recipe.preset,
            "kept": which,
            "steps": best.step,
            "seed": recipe.train.seed,
            "train_cpu_seconds": round(best.cpu_secs, 1),
            "train_wall_seconds": round(best.wall_secs, 1),
            "eval": best.evaluation,
        }
        card = _card(recipe, trained, data)
        if model.config.fits_any_side and "sizes" in card.options:
            card = dataclasses.replace(card, sizes=tuple(card.options["sizes"]))
        save_published(folder / FOLDERS[which], model, card)
    plain = json.dumps(dataclasses.asdict(recipe), indent=2)
    write_file(folder / "recipe.json", (plain + "\n").encode())


def _load(checkpoints: Path, which: Which) -> BestModel | None:
    """The last where there is no best, or where it is damaged."""
    try:
        found = load_best_model(checkpoints, which)
    except DamagedCheckpoint as error:
        if which == "last":
            raise
        log.warning("the best checkpoint is damaged and kept; the last one is published", error=error.fault)
        found = None
    return found or load_best_model(checkpoints, "last")


def check_card(recipe: Recipe, model: HRM, data: Path | None) -> None:
    """UserError where the model is of another size than the task that its card will name: its puzzles come
    from a folder or a file of another size than the recipe's options.
    """
    front = model.config.front
    if data is None or not isinstance(front, TokenFront):
        return
    card = _card(recipe, {}, data)
    spec = make_task(card.task, **card.options).spec
    if (spec.seq_len, spec.vocab_size) != (front.seq_len, front.vocab_size):
        size = f"size={isqrt(front.seq_len)}" if "size" in task_kind(card.task).options else "KEY=VALUE"
        raise UserError(
            f"--data {data}: has puzzles of {front.seq_len} cells and {front.vocab_size} symbols, task"
            f" {card.task} of {recipe.name} has {spec.seq_len} and {spec.vocab_size}: add --set task.{size}"
        )


def _card(recipe: Recipe, trained: dict[str, Any], data: Path | None) -> TaskCard:
    if not recipe.is_mixture:
        part = recipe.tasks[0]
        if part.name == "arc" and data is not None:  # a built folder numbers its puzzles by itself
            return TaskCard(task="folder", options={"path": str(data.absolute())}, trained=trained)
        return TaskCard(task=part.name, options=_located(part), trained=trained)
    tasks = [{"name": part.name, "weight": part.weight, **_located(part)} for part in recipe.tasks]
    return TaskCard(
        task="mixture", options={"tasks": tasks, "vocabulary": recipe.vocabulary}, trained=trained
    )


def _located(part: TaskPart) -> dict[str, Any]:
    """The task's options, with absolute paths: a model is loaded from any folder."""
    named = task_kind(part.name).files
    return {key: _absolute(value) if key in named else value for key, value in part.options.items()}


def _absolute(value: Any) -> Any:
    """A text that names no file, such as arc1, stays."""
    if isinstance(value, (list, tuple)):
        return [_absolute(each) for each in value]
    is_file = isinstance(value, str) and value and Path(value).expanduser().exists()
    return str(Path(value).expanduser().absolute()) if is_file else value
