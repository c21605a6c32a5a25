"""A training config is right when it exists."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from sage.errors import InputError
from sage.hrm_core.optim.config import OptimizerConfig
from sage.hrm_core.training.config import TrainConfig


def test_a_config_survives_json() -> None:
    config = TrainConfig(
        epochs=3, eval_segments=(1, 16), optimizer=OptimizerConfig(kind="muon", betas=(0.8, 0.9))
    )
    assert TrainConfig.from_plain(json.loads(json.dumps(dataclasses.asdict(config)))) == config


def test_steps_are_epochs_of_examples_over_the_batch() -> None:
    assert TrainConfig(epochs=20_000, examples_per_epoch=1000, batch_size=768).num_steps() == 26_041
    assert TrainConfig(epochs=2, batch_size=8).num_steps(20) == 5
    assert TrainConfig(steps=9).num_steps(20) == 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 10**20}, "batch_size is 1"),
        ({"steps": 10**20}, "steps is 1"),
        ({"seed": 2**63}, "seed is 9"),
        ({"eval_segments": (10**20,)}, "each from 1 to 4096"),
        ({"steps": 1, "epochs": 1.0}, "give steps or epochs, not both"),
        ({"cross_entropy": "hinge"}, "stablemax, softmax"),
        ({"ema_decay": 1.0}, "ema_decay is 1.0"),
        ({"random_start": -1.0}, "random_start is -1.0: give a standard deviation"),
        ({"state_noise": float("nan")}, "state_noise is nan: give a standard deviation"),
        ({"eval_segments": ()}, "eval_segments"),
        ({"stop_at_exact": 99.5}, "give a share"),
        ({"q_weight": float("inf")}, "q_weight is inf"),
        ({"first_segments": 10**20}, "first_segments is 1"),
        ({"loader_timeout_secs": float("inf")}, "loader_timeout_secs is inf"),
        ({"loader_timeout_secs": 1e30}, r"loader_timeout_secs is 1e\+30"),
    ],
)
def test_a_wrong_setting_names_its_field(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig(**change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"betas": (2.0, 3.0)}, r"optimizer.betas is \(2.0, 3.0\): give two numbers from 0 to below 1"),
        ({"betas": (float("nan"), 0.9)}, "optimizer.betas is"),
        ({"betas": (0.9,)}, "optimizer.betas is"),
        ({"momentum": 1.0}, "optimizer.momentum is 1.0: give a number from 0 to below 1"),
    ],
)
def test_a_wrong_setting_of_an_optimizer_names_its_field(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        OptimizerConfig(kind="muon", **change)


def test_a_run_without_a_length_is_refused() -> None:
    with pytest.raises(ValueError, match="set steps or epochs"):
        TrainConfig().num_steps()
