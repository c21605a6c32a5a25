"""The models of a puzzle stream, one for each level, with the weights that the configuration names."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

from sage.errors import InputError
from sage.hrm_core.config.fronts import TokenFront
from sage.hrm_core.config.model import ModelConfig
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.model_family import ModelFamily, config_for
from sage.hrm_core.solving.published import load_published
from sage.hrm_core.tasks.contract import TaskSpec
from sage.runtime.config import SolvingConfig

Reasoner = Literal["hrm", "linear", "transformer", "mlp"]
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


#: Models without recurrence: two nets of two layers, each called once, in one segment. Same cells in, same
#: trainer; places are learned. Parameters on 4x4, 6x6, 9x9 sudoku: transformer 41,922 to 44,322, mlp 31,682,
#: 67,778, 214,562 (its weights grow with the cells); preset `sudoku` 45,346 on each.
_PLAIN: dict[str, Any] = {
    "hidden_size": 32,
    "num_heads": 2,
    "H_layers": 2,
    "L_layers": 2,
    "H_cycles": 1,
    "L_cycles": 1,
    "expansion": 3.0,
    "mlp_multiple": 32,
    "shares_nets": False,
    "halt_max_segments": 1,
    "halt_exploration": 0.0,
    "q_source": "mean",
}
_MIXERS: dict[Reasoner, str] = {"transformer": "attention", "mlp": "mlp"}
#: Two matrices without a function between them. Where symbols are interchangeable, over the tokens and
#: lines of the recurrent model, so that no weight depends on a place: 10,530 parameters. Elsewhere over all
#: cells at once, from a vector of as many numbers as there are symbols: any linear map of the puzzle.
_LINEAR: dict[str, Any] = {**_PLAIN, "mixer": "linear", "num_heads": 1, "H_layers": 1, "L_layers": 1}


def family_for(
    specs: Sequence[TaskSpec], section: SolvingConfig, *, reasoner: Reasoner = "hrm", seed: int = 0
) -> ModelFamily:
    """The models of a stream with these levels, in eval mode. seed: of fresh weights.

    InputError where the preset or the weights do not fit a level's task, CheckpointError where the weights
    cannot be read.
    """
    if reasoner != "hrm":
        _need_no_other_model(section, reasoner)
        make = _linear_config if reasoner == "linear" else partial(_plain_config, reasoner=reasoner)
        configs = [make(spec) for spec in specs]
    elif section.weights != FRESH:
        return _loaded(specs, section.weights)
    else:
        configs = [_config(spec, section) for spec in specs]
    family = ModelFamily(configs, seed=seed)
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
    if section.two_nets:
        changes["shares_nets"] = False
    if section.max_segments == 1:
        changes |= {"halt_max_segments": 1, "halt_exploration": 0.0}
    return config_for(preset, spec, **changes)


def _plain_config(spec: TaskSpec, reasoner: Reasoner) -> ModelConfig:
    front = TokenFront(vocab_size=spec.vocab_size, seq_len=spec.seq_len, positions="learned")
    return config_for("small", spec, front=front, **_PLAIN, mixer=_MIXERS[reasoner])


def _linear_config(spec: TaskSpec) -> ModelConfig:
    has_alike = spec.alike_from is not None
    front = TokenFront(
        vocab_size=spec.vocab_size, seq_len=spec.seq_len, positions="none", alike_from=spec.alike_from
    )
    size = 32 if has_alike else spec.vocab_size
    return config_for("small", spec, **{**_LINEAR, "hidden_size": size, "front": front})


def _need_no_other_model(section: SolvingConfig, reasoner: Reasoner) -> None:
    named = {
        "weights": section.weights != FRESH,
        "preset": section.preset,
        "hidden_size": section.hidden_size,
        "two_nets": section.two_nets,
    }
    for name, is_named in named.items():
        if is_named:
            raise InputError(
                f"reasoner is {reasoner}: it has a model of its own: leave out solving.{name}, or set"
                " reasoner to hrm"
            )


def segments_of(model: HRM, section: SolvingConfig) -> int:
    """Segments of one row at most: 1 for a model that is trained for one."""
    return 1 if model.config.halt_max_segments == 1 else section.max_segments


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
    box = spec.box if config.has_lines else config.box
    return dataclasses.replace(config, front=front, box=box)
