"""A run as a checkpoint, and back: weights, moments, average, rows under way, generators, position in the
data.

Invariant: whatever moves the next step is in here; what a config may change between two parts of a run is
named here.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sage.hrm_core.config.model import ModelConfig
from sage.hrm_core.optim.ranks import Ranks
from sage.hrm_core.training.checkpoints import Checkpoint, read_checkpoint
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.errors import ResumeError
from sage.hrm_core.training.learner import Learner
from sage.hrm_core.training.stopping import StopRule
from sage.hrm_core.training.stream import RowStream

if TYPE_CHECKING:
    from sage.hrm_core.evaluation.report import EvalReport
    from sage.hrm_core.training.trainer import Trainer, TrainerState

#: A run that changed any of these would not be the same run.
_FIXED = ("batch_size", "seed")


def snapshot(
    learner: Learner,
    stop_rule: StopRule,
    stream: RowStream,
    standing: TrainerState,
    trainer: Trainer,
    report: EvalReport | None,
) -> Checkpoint:
    """Everything that `restore` needs, and the evaluation of this very step, where there was one."""
    tensors, learner_plain = learner.state()
    numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002  whoever uses the global generator resumes too
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
        "standing": dataclasses.asdict(standing),
        "numpy": numpy_state,
        "model": learner.model.config.to_plain(),
        "train": dataclasses.asdict(trainer.config),
        "task": dataclasses.asdict(trainer.task.spec),
        "evaluation": None if report is None else report.to_plain(),
    }
    return Checkpoint(step=standing.step, shared=shared, rows=learner.lane_tensors(), plain=plain)


def restore(
    path: Path, learner: Learner, stop_rule: StopRule, config: TrainConfig, ranks: Ranks
) -> dict[str, Any]:
    """Put the checkpoint's state into the parts of a run, and return its plain part. ResumeError if it is
    another run's.
    """
    checkpoint = read_checkpoint(path, ranks)
    plain = dict(checkpoint.plain)
    try:
        theirs = ModelConfig.from_plain(
            plain["model"]
        )  # settings that are younger than the checkpoint are at their defaults
    except ValueError as error:
        raise ResumeError(
            f"{path}: its model cannot be built here ({error}): resume with the version that made it"
        ) from error
    ours = learner.model.config
    for name in (field.name for field in dataclasses.fields(ModelConfig)):
        if getattr(ours, name) != getattr(theirs, name):
            raise ResumeError(
                f"{path}: model.{name} is {getattr(theirs, name)!r} there and {getattr(ours, name)!r} here:"
                " resume the same model"
            )
    saved = TrainConfig.from_plain(plain["train"])
    for name in _FIXED:
        if getattr(saved, name) != getattr(config, name):
            raise ResumeError(
                f"{path}: {name} is {getattr(saved, name)!r} there and {getattr(config, name)!r} here: resume"
                " with the same"
            )
    shared = dict(checkpoint.shared)
    torch.set_rng_state(shared.pop("rng.torch"))
    key = shared.pop("rng.numpy").numpy().astype(np.uint32)
    np.random.set_state({**plain["numpy"], "state": {"key": key, **plain["numpy"]["state"]}})  # noqa: NPY002
    try:
        learner.load_state(shared, plain["learner"])
    except (ValueError, RuntimeError, KeyError) as error:
        raise ResumeError(f"{path}: does not fit this run: {' '.join(str(error).split())[:200]}") from error
    learner.load_lanes(checkpoint.rows)
    stop_rule.load_state(plain["stop_rule"])
    return plain
