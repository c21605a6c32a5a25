"""The models of a puzzle stream, one for each level, with the weights that the configuration names."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from sage.errors import InputError
from sage.hrm_core.config.fronts import TokenFront
from sage.hrm_core.config.model import ModelConfig
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.model_family import ModelFamily, config_for
from sage.hrm_core.solving.published import load_published
from sage.hrm_core.tasks.contract import TaskSpec
from sage.runtime.config import SolvingConfig

FRESH = "fresh"
#: For symbols that are not interchangeable on a square grid: the recipe maze_any, whose weights fit any side.
_GRID: dict[str, Any] = {
    "mixer": "grid",
    "hidden_size": 48,
    "expansion": 2.0,
    "L_cycles": 4,
    "halt_exploration": 1.0,
    "halt_max_segments": 16,
    "q_source": "mean",
}


def family_for(specs: Sequence[TaskSpec], section: SolvingConfig, *, seed: int = 0) -> ModelFamily:
    """The models of a stream with these levels, in eval mode. seed: of fresh weights.

    InputError where the preset or the weights do not fit a level's task, CheckpointError where the weights
    cannot be read.
    """
    if section.weights != FRESH:
        return _loaded(specs, section.weights)
    family = ModelFamily([_config(spec, section) for spec in specs], seed=seed)
    family.eval()
    return family


def _config(spec: TaskSpec, section: SolvingConfig) -> ModelConfig:
    changes: dict[str, Any] = {}
    preset = section.preset
    if preset is None and spec.alike_from is not None:
        preset = "sudoku"
    elif preset is None:
        preset = "small"
        changes = {
            **_GRID,
            "front": TokenFront(vocab_size=spec.vocab_size, seq_len=spec.seq_len, positions="none"),
        }
    if section.hidden_size is not None:
        changes["hidden_size"] = section.hidden_size
    return config_for(preset, spec, **changes)


def _loaded(specs: Sequence[TaskSpec], source: str) -> ModelFamily:
    """The architecture and the weights of a shipped model, a folder or a file, at the size of each level."""
    model = load_published(source).model
    if not isinstance(model, HRM):
        raise InputError(f"solving.weights is {source}: an exported file cannot be trained: give the model")
    family = ModelFamily([_resized(model.config, spec, source) for spec in specs])
    own = family.weights()
    weights = {
        name: model.state_dict().get(name.partition(".")[2] if _is_own(name) else name) for name in own
    }
    missing = [name for name, tensor in weights.items() if tensor is None or tensor.shape != own[name].shape]
    if missing:
        raise InputError(
            f"solving.weights is {source}: its weights do not fit every level ({missing[0]}): give fresh, or"
            " levels of one size"
        )
    family.load_weights({name: tensor for name, tensor in weights.items() if tensor is not None})
    family.eval()
    return family


def _is_own(name: str) -> bool:
    """Whether a name of `ModelFamily.weights` is of one member alone."""
    return name.startswith("member")


def _resized(config: ModelConfig, spec: TaskSpec, source: str) -> ModelConfig:
    front = config.front
    assert isinstance(front, TokenFront)
    if front.alike_from is not None and spec.alike_from is None:
        raise InputError(
            f"solving.weights is {source}: its symbols are interchangeable, those of task {spec.name} are"
            " not: give other weights"
        )
    alike = None if front.alike_from is None else spec.alike_from
    front = dataclasses.replace(front, vocab_size=spec.vocab_size, seq_len=spec.seq_len, alike_from=alike)
    box = spec.box if config.mixer == "lines" else config.box
    return dataclasses.replace(config, front=front, box=box)
