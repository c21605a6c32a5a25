"""The models that a run keeps: the best by the task's rules, and the last, with the weights that were
evaluated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.training.best_model import load_best_model
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.errors import ResumeError
from sage.hrm_core.training.mirror_task import MirrorTask
from sage.hrm_core.training.trainer import Trainer

Build = Callable[..., HRM]


def test_the_last_is_the_average_that_the_run_ended_with(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig, tmp_path: Path
) -> None:
    model = small_model(mirror)
    result = Trainer(model, mirror, quick_config, folder=tmp_path).train()
    last = load_best_model(tmp_path, "last")
    assert last is not None
    assert (last.step, last.cpu_secs, last.wall_secs) == (12, result.cpu_secs, result.wall_secs)
    assert result.report is not None
    assert last.evaluation == result.report.to_plain()
    assert all(torch.equal(last.weights[name], tensor) for name, tensor in model.state_dict().items())


def test_the_best_is_the_one_that_scored_best_and_of_equals_the_later(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig, tmp_path: Path
) -> None:
    config = dataclasses.replace(quick_config, eval_every=3)
    result = Trainer(small_model(mirror), mirror, config, folder=tmp_path).train()
    best = load_best_model(tmp_path, "best")
    assert best is not None
    assert best.step == result.best_step
    assert best.evaluation is not None
    assert best.evaluation["depths"][-1]["valid"] == result.best_score


def test_before_the_first_checkpoint_there_is_none(tmp_path: Path) -> None:
    assert load_best_model(tmp_path, "best") is None


def test_a_torn_checkpoint_is_named(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig, tmp_path: Path
) -> None:
    Trainer(small_model(mirror), mirror, dataclasses.replace(quick_config, steps=1), folder=tmp_path).train()
    [shard] = tmp_path.glob("step-*/shared-00000.safetensors")
    shard.write_bytes(shard.read_bytes()[:-9])
    with pytest.raises(ResumeError, match=r"shared-00000.*damaged: take another checkpoint"):
        load_best_model(tmp_path, "last")
