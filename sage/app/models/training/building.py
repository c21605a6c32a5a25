"""From a recipe to a task and a model that fits it.

Invariant: the model's front is the task's: its symbols, its cells, its puzzles.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from sage.app.models.training.data import load_data
from sage.app.models.training.recipe import Recipe, TaskPart
from sage.app.terminal.errors import UserError
from sage.errors import InputError, SageError
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.config.presets import preset_settings
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.contract import Task, TaskSpec
from sage.hrm_core.training.mixture import MixtureTask, Part


def build_task(recipe: Recipe, data: Path | None = None, evaluation: Path | None = None) -> Task:
    """The recipe's task, or a mixture of them. data, evaluation: files in place of fresh puzzles."""
    if recipe.needs_data and data is None:
        raise UserError(f"{recipe.name}: this recipe trains on files: give --data DIR, {recipe.needs_data}")
    if evaluation is not None and data is None:
        raise UserError(
            f"--eval-data {evaluation}: needs --data, what to train on: add it, or leave this out"
        )
    if recipe.is_mixture:
        if data is not None:
            raise UserError(
                f"{recipe.name}: --data is for one task, this is a mixture of {len(recipe.tasks)}: leave"
                " it out"
            )
        parts = [Part(task=_make(part), weight=part.weight) for part in recipe.tasks]
        return MixtureTask(parts, vocabulary=_vocabulary(recipe), name=recipe.name)
    part = recipe.tasks[0]
    return _make(part) if data is None else load_data(part.name, data, part.options, evaluation)


def build_model(recipe: Recipe, spec: TaskSpec) -> HRM:
    """The preset with the recipe's changes; seeded by the recipe's seed, or started from its `start`."""
    import torch

    try:
        front, settings = _front(recipe, spec), dict(recipe.model)
        if settings.get("mixer", preset_settings(recipe.preset).get("mixer")) == "lines":
            settings.setdefault("box", spec.box)
        if spec.is_causal:
            settings.setdefault("is_causal", True)
        config = ModelConfig.preset(recipe.preset, front=front, **settings)
    except (TypeError, SageError) as error:
        raise UserError(f"{recipe.name}: the model of preset {recipe.preset}: {error}") from error
    model = HRM(config, generator=torch.Generator().manual_seed(recipe.train.seed))
    if recipe.start:
        _start_from(recipe, model)
    return model


def _start_from(recipe: Recipe, model: HRM) -> None:
    """The weights of the recipe's `start`. UserError where they are not there, or do not fit."""
    from sage.hrm_core.checkpoint.source import read_pretrained
    from sage.hrm_core.checkpoint.warm_start import warm_start
    from sage.hrm_core.solving.published import locate

    try:
        path = locate(recipe.start)
        saved = read_pretrained(path / "model" if (path / "model" / "config.json").is_file() else path)
        warm_start(model, saved.state, name=recipe.start)
    except SageError as error:
        raise UserError(f"{recipe.name}: {error}") from error


def heads_of(recipe: Recipe) -> str:
    """ModelConfig's `heads` of the recipe's model."""
    return str(recipe.model.get("heads", preset_settings(recipe.preset).get("heads", "answer")))


def start_model(source: str, spec: TaskSpec) -> HRM:
    """The model of a shipped name, a folder, a file or a run, to continue its training on the task.

    Its architecture is its own: a recipe's preset, model and front are not used. UserError if it is no model
    of the task's shape, or an exported file.
    """
    from sage.app.config.names import check_model
    from sage.app.models.training.judging import model_folder
    from sage.hrm_core.solving.fit import check_fit
    from sage.hrm_core.solving.published import load_published

    check_model(source)
    try:
        model = load_published(model_folder(source)).model
        check_fit(model, spec)
    except SageError as error:
        raise UserError(f"--from {source}: {error}") from error
    if not isinstance(model, HRM):
        raise UserError(f"--from {source}: an exported file cannot be trained: give the model's folder")
    return model


def _front(recipe: Recipe, spec: TaskSpec) -> TokenFront:
    """The preset's, of the task's shape, with the recipe's changes. InputError where the preset is for other
    tasks.
    """
    preset = preset_settings(recipe.preset)
    own, changes = preset["front"], {"vocab_size": spec.vocab_size, "seq_len": spec.seq_len, **recipe.front}
    assert isinstance(own, TokenFront)
    if own.alike_from is not None:
        if spec.alike_from is None:
            raise InputError(f"task {spec.name} has no symbols that are alike: give another preset")
        changes.setdefault("alike_from", spec.alike_from)
    elif spec.num_puzzle_ids > 1 and not own.puzzle_emb_ndim and "puzzle_emb_ndim" not in recipe.front:
        width = int(recipe.model.get("hidden_size", preset["hidden_size"]))
        has_tokens = recipe.model.get("mixer", preset.get("mixer")) not in ("grid", "lines")
        # only its identity gives such a puzzle's rule
        changes |= {"puzzle_emb_ndim": width, "puzzle_tokens": int(has_tokens)}
    if changes.get("puzzle_emb_ndim", own.puzzle_emb_ndim) and "num_puzzle_ids" not in recipe.front:
        changes["num_puzzle_ids"] = max(1, spec.num_puzzle_ids)
    return dataclasses.replace(own, **changes)


def _make(part: TaskPart) -> Task:
    try:
        return make_task(part.name, **part.options)
    except SageError as error:
        raise UserError(str(error)) from error


def _vocabulary(recipe: Recipe) -> Any:
    return recipe.vocabulary
