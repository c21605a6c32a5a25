"""A run as a checkpoint, and back: weights, moments, average, unfinished rows, generators, position in the
data.

Invariant: everything that the next step depends on is in the checkpoint; `restore` compares what must stay
the same before it changes anything.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sage.hrm_core.config.model import ModelConfig
from sage.hrm_core.optim.ranks import Ranks
from sage.hrm_core.tasks.contract import TaskSpec
from sage.hrm_core.training.checkpoints import Checkpoint, read_checkpoint
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.errors import ResumeError
from sage.hrm_core.training.learner import Learner
from sage.hrm_core.training.stopping import StopRule
from sage.hrm_core.training.stream import RowStream

if TYPE_CHECKING:
    from sage.hrm_core.evaluation.report import EvalReport
    from sage.hrm_core.training.trainer_state import TrainerState

#: Settings that a resumed run must not change.
_FIXED = ("batch_size", "seed")


def snapshot(
    learner: Learner,
    stop_rule: StopRule,
    stream: RowStream,
    state: TrainerState,
    config: TrainConfig,
    spec: TaskSpec,
    report: EvalReport | None,
) -> Checkpoint:
    """Everything that `restore` needs, and the evaluation of this step, if there was one."""
    tensors, learner_plain = learner.state()
    numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002  tasks and plug-ins may use the global generator
    assert isinstance(numpy_state, dict)
    shared = {
        **tensors,
        "rng.torch": torch.get_rng_state(),
        "rng.numpy": torch.from_numpy(numpy_state["state"]["key"].astype(np.int64)),
    }
    numpy_state["state"] = {"pos": int(numpy_state["state"]["pos"])}
    plain = {
        "learner": learner_plain,
        "stop_rule": stop_rule.state(),
        "stream": stream.state(),
        "standing": dataclasses.asdict(state),
        "numpy": numpy_state,
        "model": learner.model.config.to_plain(),
        "train": dataclasses.asdict(config),
        "task": dataclasses.asdict(spec),
        "evaluation": None if report is None else report.to_plain(),
    }
    return Checkpoint(step=state.step, shared=shared, rows=learner.lane_tensors(), plain=plain)


def restore(
    path: Path,
    learner: Learner,
    stop_rule: StopRule,
    config: TrainConfig,
    spec: TaskSpec,
    ranks: Ranks,
) -> dict[str, Any]:
    """Load the checkpoint into the parts of a run, and return its plain part. ResumeError if it is of another
    run.
    """
    checkpoint = read_checkpoint(path, ranks)
    plain = dict(checkpoint.plain)
    _compare(path, plain, learner.model.config, config, spec)
    shared = dict(checkpoint.shared)
    torch_state, numpy_key = shared.pop("rng.torch"), shared.pop("rng.numpy")
    try:
        learner.load_state(shared, plain["learner"])
    except (ValueError, RuntimeError, KeyError) as error:
        raise ResumeError(f"{path}: does not fit this run: {' '.join(str(error).split())[:200]}") from error
    learner.load_lanes(checkpoint.rows)
    stop_rule.load_state(plain["stop_rule"])
    torch.set_rng_state(torch_state)
    key = numpy_key.numpy().astype(np.uint32)
    np.random.set_state({**plain["numpy"], "state": {"key": key, **plain["numpy"]["state"]}})  # noqa: NPY002
    return plain


def check_resumable(
    path: Path, model: ModelConfig, config: TrainConfig, spec: TaskSpec, ranks: Ranks
) -> None:
    """ResumeError unless a run of this model, config and task can resume from the checkpoint in `path`; all
    of its files are read.
    """
    _compare(path, read_checkpoint(path, ranks).plain, model, config, spec)


def _compare(
    path: Path, plain: Mapping[str, Any], ours: ModelConfig, config: TrainConfig, spec: TaskSpec
) -> None:
    try:  # settings that are newer than the checkpoint have their defaults
        theirs = ModelConfig.from_plain(plain["model"])
    except ValueError as error:
        raise ResumeError(
            f"{path}: its model cannot be built here ({error}): resume with the version that wrote it"
        ) from error
    for name in (field.name for field in dataclasses.fields(ModelConfig)):
        _need_equal(path, f"model.{name}", getattr(theirs, name), getattr(ours, name))
    saved = plain["train"]
    for name in _FIXED:
        _need_equal(path, name, saved[name], getattr(config, name))
    _need_equal(path, "optimizer.kind", saved["optimizer"]["kind"], config.optimizer.kind)
    if (saved["ema_decay"] is None) != (config.ema_decay is None):
        _need_equal(path, "ema_decay", saved["ema_decay"], config.ema_decay)
    here = json.loads(json.dumps(dataclasses.asdict(spec)))
    for name, value in plain["task"].items():
        if name in here:
            _need_equal(path, f"task.{name}", value, here[name])


def _need_equal(path: Path, name: str, saved: object, ours: object) -> None:
    """ResumeError with the first field that differs, of configs inside a config too."""
    if dataclasses.is_dataclass(saved) and type(saved) is type(ours):
        for each in dataclasses.fields(saved):
            _need_equal(path, f"{name}.{each.name}", getattr(saved, each.name), getattr(ours, each.name))
    if saved != ours:
        raise ResumeError(
            f"{path}: {name} is {saved!r} in the checkpoint and {ours!r} here: resume with the same value"
        )
