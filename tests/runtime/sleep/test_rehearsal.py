"""A night of a classifier: what it repairs is kept, and every night made bad on purpose is rolled back."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sage.errors import InputError
from sage.memory.stores.labelled import Labelled
from sage.runtime.report import SleepOutcome
from sage.runtime.sleep import rehearsal
from sage.runtime.sleep.rehearsal import RehearsalPlan, rehearse

NUM_CLASSES, WIDTH = 4, 6
PLAN = RehearsalPlan(num_steps=60, batch_size=32, learning_rate=1e-2, seed=1)
IS_NEW = np.arange(64) % 2 == 1


def blobs(num: int, seed: int) -> Labelled:
    """Four classes around four points; classes 0 and 1 are context 0, the others context 1."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(num) % NUM_CLASSES
    centres = 2 * torch.eye(NUM_CLASSES, WIDTH)
    inputs = centres[labels] + 0.5 * torch.randn(num, WIDTH, generator=generator)
    return Labelled(
        inputs=inputs,
        labels=labels,
        outputs=torch.zeros(num, NUM_CLASSES),
        contexts=labels // 2,
        is_real=torch.ones(num, dtype=torch.bool),
    )


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(WIDTH, 32), nn.ReLU(), nn.Linear(32, NUM_CLASSES))


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def are_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def accuracy(model: nn.Module, on: Labelled) -> float:
    return float((model(on.inputs).argmax(-1) == on.labels).float().mean())


def with_own_outputs(model: nn.Module, replay: Labelled) -> Labelled:
    with torch.no_grad():
        return replay.replace(outputs=model(replay.inputs))


@pytest.fixture(scope="module")
def learned() -> nn.Module:
    """A network that has slept well: it has something to lose."""
    model = network()
    plan = dataclasses.replace(PLAN, num_steps=15, learning_rate=5e-3, alpha=0.0)
    assert rehearse(model, blobs(200, 1), blobs(64, 2), IS_NEW, plan).verdict.outcome is SleepOutcome.ACCEPTED
    return model


@pytest.fixture
def replay(learned: nn.Module) -> Labelled:
    return with_own_outputs(learned, blobs(200, 1))


def bad_night(learned: nn.Module, replay: Labelled, plan: RehearsalPlan = PLAN) -> str:
    """The reason; the outcome is a roll-back that leaves the weights as they were."""
    model = copy.deepcopy(learned)
    before = weights(model)
    ended = rehearse(model, replay, blobs(64, 2), IS_NEW, plan)
    assert ended.verdict.outcome is SleepOutcome.ROLLED_BACK, ended.verdict.reason
    assert ended.outputs is None
    assert are_equal(weights(model), before)
    return ended.verdict.reason


def test_what_waking_spoiled_is_repaired():
    """Trained on context 1 alone, the network gives its classes to all; the night repairs context 0."""
    model, all_replay, held = network(), blobs(200, 1), blobs(64, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    late = all_replay[all_replay.contexts == 1]
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(late.inputs), late.labels).backward()
        optimizer.step()
    assert accuracy(model, held) <= 0.5
    ended = rehearse(model, with_own_outputs(model, all_replay), held, IS_NEW, PLAN)
    assert ended.verdict.outcome is SleepOutcome.ACCEPTED
    assert ended.verdict.gain_low > 0
    assert ended.num_steps == PLAN.num_steps
    assert accuracy(model, held) >= 0.75


def test_an_accepted_night_refreshes_the_stored_outputs():
    model, replay = network(), blobs(200, 1)
    ended = rehearse(
        model, replay, blobs(64, 2), IS_NEW, dataclasses.replace(PLAN, alpha=0.0, refresh_at=0.9)
    )
    assert ended.outputs is not None
    assert ended.outputs.argmax(-1).eq(replay.labels).float().mean() > 0.9  # before they were 0


def test_wrong_labels_are_rolled_back(learned: nn.Module, replay: Labelled):
    wrong = replay.replace(labels=(replay.labels + 1) % NUM_CLASSES)
    assert "worse" in bad_night(learned, wrong) or "collapsed" in bad_night(learned, wrong)


def test_a_hundredfold_learning_rate_is_rolled_back(learned: nn.Module, replay: Labelled):
    reason = bad_night(learned, replay, dataclasses.replace(PLAN, learning_rate=10.0))
    assert "worse" in reason or "collapsed" in reason


def test_a_replay_with_nan_is_rolled_back_and_its_steps_are_not_taken(learned: nn.Module, replay: Labelled):
    poisoned = replay.replace(inputs=torch.full_like(replay.inputs, torch.nan))
    assert bad_night(learned, poisoned) == "60 of 60 steps had a gradient that is not finite"


def test_weights_that_become_nan_are_rolled_back(
    learned: nn.Module, replay: Labelled, monkeypatch: pytest.MonkeyPatch
):
    train = rehearsal._train

    def poisoned(model: nn.Module, *rest: object) -> tuple[Tensor, int]:
        trained = train(model, *rest)
        next(model.parameters()).data.fill_(torch.nan)
        return trained

    monkeypatch.setattr(rehearsal, "_train", poisoned)
    assert "not finite" in bad_night(learned, replay)


def test_a_diet_of_synthetic_experiences_is_rolled_back_even_when_it_helps(learned: nn.Module):
    made = blobs(200, 1)
    made = made.replace(is_real=torch.zeros_like(made.is_real))
    assert bad_night(learned, made) == "100% of the replay is synthetic, at most 50% is permitted"


def test_a_candidate_that_gives_one_answer_is_named_as_collapsed(
    learned: nn.Module, replay: Labelled, monkeypatch: pytest.MonkeyPatch
):
    train = rehearsal._train

    def collapsed(model: nn.Sequential, *rest: object) -> tuple[Tensor, int]:
        trained = train(model, *rest)
        model[2].weight.data.zero_()
        model[2].bias.data.copy_(torch.tensor([3.0, 0.0, 0.0, 0.0]))
        return trained

    monkeypatch.setattr(rehearsal, "_train", collapsed)
    assert bad_night(learned, replay).startswith("the candidate collapsed: ")


@pytest.mark.parametrize("last_step", range(0, 60, 7))
def test_a_night_cut_at_any_step_leaves_the_old_weights(learned: nn.Module, replay: Labelled, last_step: int):
    model, num_steps = copy.deepcopy(learned), 0
    before = weights(model)

    def cut(inputs: Tensor, contexts: Tensor, generator: torch.Generator) -> Tensor:
        nonlocal num_steps
        num_steps += 1
        if num_steps > last_step:
            raise KeyboardInterrupt
        return inputs

    with pytest.raises(KeyboardInterrupt):
        rehearse(model, replay, blobs(64, 2), IS_NEW, PLAN, augment=cut)
    assert num_steps == last_step + 1
    assert are_equal(weights(model), before)


def test_a_night_again_is_the_same_night(learned: nn.Module, replay: Labelled):
    ended = []
    for _ in range(2):
        model = network()
        rehearse(model, replay, blobs(64, 2), IS_NEW, PLAN)
        ended.append(weights(model))
    assert are_equal(*ended)


def test_fewer_than_64_examined_is_no_night(learned: nn.Module, replay: Labelled):
    ended = rehearse(copy.deepcopy(learned), replay, blobs(63, 2), IS_NEW[:63], PLAN)
    assert ended.verdict.outcome is SleepOutcome.SKIPPED
    assert ended.verdict.reason == "63 experiences to examine, at least 64 are required"


def test_an_empty_replay_is_an_error(learned: nn.Module):
    with pytest.raises(InputError, match="replay is empty"):
        rehearse(learned, blobs(0, 1), blobs(64, 2), IS_NEW, PLAN)
