"""A task that a model of 3 K weights learns in a second, and the model."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.optim.config import OptimizerConfig
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.mirror_task import MirrorTask


@pytest.fixture
def mirror() -> MirrorTask:
    return MirrorTask()


@pytest.fixture
def small_model() -> Callable[..., HRM]:
    def build(task: MirrorTask, *, puzzles: int = 0, **changes: object) -> HRM:
        front = TokenFront(
            vocab_size=task.spec.vocab_size,
            seq_len=task.spec.seq_len,
            positions="learned",
            num_puzzle_ids=puzzles,
            puzzle_emb_ndim=16 if puzzles else 0,
            puzzle_tokens=1 if puzzles else 0,
        )
        settings = {"hidden_size": 16, "mlp_multiple": 16, "halt_max_segments": 3, **changes}
        return HRM(ModelConfig.preset("tiny", front=front, **settings))

    return build


@pytest.fixture
def quick_config() -> TrainConfig:
    optimizer = OptimizerConfig(kind="muon", lr=2e-2, rest_lr=2e-2, warmup_steps=3, min_lr_ratio=0.1)
    return TrainConfig(
        steps=12,
        batch_size=8,
        cross_entropy="softmax",
        clip_norm=1.0,
        ema_decay=0.9,
        eval_examples=32,
        eval_segments=(1, 3),
        optimizer=optimizer,
    )
