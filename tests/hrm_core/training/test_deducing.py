"""Training by learned deduction: it learns, resumes to the bit, and refuses what has no meaning."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from sage.errors import InputError
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.optim.config import OptimizerConfig
from sage.hrm_core.optim.ranks import SINGLE
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.deduction_config import DeductionConfig
from sage.hrm_core.training.learner import Learner
from sage.hrm_core.training.mirror_task import MirrorTask
from sage.hrm_core.training.stream import RowStream
from sage.hrm_core.training.trainer import Trainer

OPTIMIZER = OptimizerConfig(kind="muon", lr=1e-2, warmup_steps=4, min_lr_ratio=0.1)
CONFIG = TrainConfig(
    steps=6,
    batch_size=8,
    cross_entropy="softmax",
    clip_norm=1.0,
    ema_decay=0.9,
    q_weight=0.05,
    eval_examples=8,
    eval_segments=(1, 2),
    optimizer=OPTIMIZER,
    deduction=DeductionConfig(loops=2),
)


def small(seed: int = 0, **changes: object) -> HRM:
    front = TokenFront(vocab_size=6, seq_len=16, positions="none", alike_from=2)
    settings = {"hidden_size": 16, "box": (2, 2), **changes}
    return HRM(
        ModelConfig.preset("deduce", front=front, **settings), generator=torch.Generator().manual_seed(seed)
    )


def weights(model: HRM) -> torch.Tensor:
    return torch.cat([each.detach().flatten() for each in model.parameters()])


@pytest.mark.parametrize("changes", [{}, {"micro_batches": 2}, {"bf16": True}])
def test_a_resumed_run_has_the_same_weights(tmp_path: Path, changes: dict[str, object]) -> None:
    task, config = make_task("sudoku", size=4), dataclasses.replace(CONFIG, **changes)  # type: ignore[arg-type]
    whole = small()
    Trainer(whole, task, config).train()
    calls = 0

    def after_three() -> bool:
        nonlocal calls
        calls += 1
        return calls > 3

    Trainer(small(), task, config, folder=tmp_path, stop=after_three).train()
    resumed = small(seed=9)
    result = Trainer(resumed, task, config, folder=tmp_path).train(resume=True)
    assert result.step == 6
    assert torch.equal(weights(resumed), weights(whole))


def test_a_gradient_may_cross_loops() -> None:
    task, found = make_task("sudoku", size=4), []
    for loops in (1, 2):
        model = small()
        own = DeductionConfig(loops=2, gradient_loops=loops)
        Trainer(model, task, dataclasses.replace(CONFIG, steps=2, deduction=own)).train()
        found.append(weights(model))
    assert not torch.equal(*found)


def test_a_call_starts_from_a_fresh_hidden_state_in_the_stated_share() -> None:
    task = make_task("sudoku", size=4)
    for share, expected in ((0.0, False), (1.0, True)):
        model = small()
        own = DeductionConfig(loops=2, fresh_carry=share, conflict_above=1.0)
        learner = Learner(
            model, task.spec, dataclasses.replace(CONFIG, deduction=own), num_steps=4, ranks=SINGLE
        )
        with RowStream(task, block_size=8, seed=0) as stream:
            learner.step(1, stream)
        start = model.initial_carry(8).z_H
        is_start = (learner.lanes[0].state.carry.z_H == start).flatten(1).all(1)
        assert bool(is_start.all()) is expected
        assert bool(is_start.any()) is expected


def test_it_learns_4x4_sudoku_in_seconds() -> None:
    task = make_task("sudoku", size=4)
    config = dataclasses.replace(CONFIG, steps=120, batch_size=16, ema_decay=0.9, eval_examples=64)
    config = dataclasses.replace(config, eval_segments=(8,))
    result = Trainer(small(), task, config).train()
    assert result.report is not None
    assert result.report.exact > 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"first_segments": 2}, "first_segments is 2: it has no meaning in learned deduction"),
        ({"state_noise": 0.1}, r"state_noise is 0\.1: it has no meaning in learned deduction"),
    ],
)
def test_a_setting_without_meaning_is_refused(changes: dict[str, object], message: str) -> None:
    task = make_task("sudoku", size=4)
    config = dataclasses.replace(CONFIG, **changes)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=message):
        Trainer(small(), task, config).train()


def test_deduction_for_a_model_of_answers_is_refused(mirror: MirrorTask) -> None:
    front = TokenFront(vocab_size=mirror.spec.vocab_size, seq_len=mirror.spec.seq_len, positions="learned")
    model = HRM(ModelConfig.preset("tiny", front=front))
    with pytest.raises(InputError, match="deduction: the model has no deduction heads"):
        Trainer(model, mirror, CONFIG).train()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loops": 0}, r"deduction\.loops is 0: give a whole number"),
        ({"loops": 4, "gradient_loops": 3}, r"deduction\.gradient_loops is 3: give a divisor of 4"),
        ({"pin_true": 1.5}, r"deduction\.pin_true is 1\.5: give a number from 0 to 1"),
        ({"temperature": 0.0}, r"deduction\.temperature is 0\.0: give a number above 0"),
        ({"pin": "first"}, r"deduction\.pin is 'first': give one of second, uniform"),
        ({"keep_weight": -1.0}, r"deduction\.keep_weight is -1\.0: give 0 or more"),
    ],
)
def test_a_value_out_of_range_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        DeductionConfig(**changes)  # type: ignore[arg-type]


def test_the_config_survives_json() -> None:
    plain = dataclasses.asdict(CONFIG)
    assert TrainConfig.from_plain(plain) == CONFIG
    del plain["deduction"]
    assert TrainConfig.from_plain(plain).deduction is None
