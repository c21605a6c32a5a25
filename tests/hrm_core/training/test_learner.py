"""A step's products run at the precision the recipe asks for, and nobody else's do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import suppress

import pytest
import torch

from sage.hrm_core.hrm import HRM
from sage.hrm_core.training.config import MatmulKind, TrainConfig
from sage.hrm_core.training.learner import matmul_precision
from sage.hrm_core.training.mirror_task import MirrorTask
from sage.hrm_core.training.trainer import Trainer

Build = Callable[..., HRM]


@pytest.mark.parametrize("matmul", ["highest", "medium"])
def test_the_process_keeps_its_own_precision(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig, matmul: MatmulKind
) -> None:
    Trainer(small_model(mirror), mirror, dataclasses.replace(quick_config, matmul=matmul, steps=2)).train()
    assert torch.get_float32_matmul_precision() == "highest"


def test_precision_is_put_back_after_an_error() -> None:
    with suppress(RuntimeError), matmul_precision("medium"):
        assert torch.get_float32_matmul_precision() == "medium"
        raise RuntimeError("diverged")
    assert torch.get_float32_matmul_precision() == "highest"


def test_attention_learns_at_medium_precision_too(mirror: MirrorTask, small_model: Build, quick_config: TrainConfig) -> None:
    model = small_model(mirror, mixer="attention")
    result = Trainer(model, mirror, dataclasses.replace(quick_config, matmul="medium")).train()
    assert result.num_bad_steps == 0


def test_a_precision_that_torch_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="matmul is 'fast': give one of highest, high, medium"):
        TrainConfig(matmul="fast")  # type: ignore[arg-type]
