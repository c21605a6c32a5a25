"""What a step does: at which precision its products run, and how many segments a puzzle has."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from sage.hrm_core.evaluation.report import EvalReport
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.optim.config import MatmulKind
from sage.hrm_core.training.callbacks import Progress
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.lanes import to_batch
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


def test_attention_learns_at_medium_precision_too(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig
) -> None:
    model = small_model(mirror, mixer="attention")
    result = Trainer(model, mirror, dataclasses.replace(quick_config, matmul="medium")).train()
    assert result.num_bad_steps == 0


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="matmul is 'fast': give one of highest, high, medium"):
        TrainConfig(matmul="fast")  # type: ignore[arg-type]


def test_a_puzzle_has_few_segments_at_first(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig
) -> None:
    model = small_model(mirror, halt_max_segments=4, halt_exploration=0.0)
    longest: list[float] = []

    class Watch:
        def on_step(self, progress: Progress) -> None:
            longest.append(progress.facts.figures["steps"] if progress.facts.num_finished else 0.0)

        def on_evaluation(self, step: int, report: EvalReport) -> None: ...

        def on_save(self, step: int, path: Path, is_best: bool) -> None: ...

    config = dataclasses.replace(quick_config, steps=20, first_segments=2, first_share=0.5)
    Trainer(model, mirror, config, callbacks=[Watch()]).train()
    assert max(longest[:10]) == 2.0
    assert max(longest[10:]) == 4.0


def test_a_number_of_first_segments_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="first_segments is 0: give a whole number from 1"):
        TrainConfig(first_segments=0)
    with pytest.raises(ValueError, match=r"first_share is 1\.5: give a share"):
        TrainConfig(first_share=1.5)


@pytest.mark.parametrize("setting", [{"random_start": 1.0}, {"state_noise": 0.1}], ids=str)
def test_random_states_change_what_is_learned_and_repeat_with_the_seed(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig, setting: dict[str, float]
) -> None:
    def train(**changes: float) -> list[torch.Tensor]:
        model = small_model(mirror)
        config = dataclasses.replace(quick_config, steps=4, eval_examples=8, **changes)
        Trainer(model, mirror, config).train()
        return [weight.clone() for weight in model.parameters()]

    plain, one, other = train(), train(**setting), train(**setting)
    assert all(torch.equal(a, b) for a, b in zip(one, other))
    assert not all(torch.equal(a, b) for a, b in zip(one, plain))


def test_evaluation_does_not_depend_on_the_noise_of_training(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig
) -> None:
    model, rows = small_model(mirror).eval(), mirror.held_out(8)
    batch = to_batch(rows, torch.device("cpu"))
    before = model(model.initial_state(batch), batch)[1].logits
    Trainer(
        model, mirror, dataclasses.replace(quick_config, steps=1, random_start=1.0, state_noise=0.1)
    ).train()
    model.eval()
    one, other = (model(model.initial_state(batch), batch)[1].logits for _ in range(2))
    assert before is not None
    assert one is not None
    assert other is not None
    assert torch.equal(one, other)
    assert not torch.equal(one, before)
