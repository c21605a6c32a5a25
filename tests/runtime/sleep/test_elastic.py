"""Elastic weight consolidation: the penalty by its formula, and what it does to a night."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from sage.errors import InputError
from sage.memory.stores.labelled import Labelled
from sage.runtime.sleep.elastic import NUM_FISHER, ElasticWeights, elastic_of_labelled
from sage.runtime.sleep.rehearsal import RehearsalPlan, rehearse


def test_the_penalty_is_half_the_strength_times_fisher_times_the_squared_change() -> None:
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    inputs = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
    elastic = ElasticWeights([weight], ((row @ weight) for row in inputs), strength=4.0)
    torch.testing.assert_close(elastic.fisher[0], torch.tensor([5.0, 0.0]))  # the mean of 1 and 9
    assert elastic.penalty().item() == 0.0
    with torch.no_grad():
        weight += torch.tensor([0.5, 100.0])
    assert elastic.penalty().item() == pytest.approx(4.0 / 2 * 5.0 * 0.25)  # the other weight is free
    (gradient,) = torch.autograd.grad(elastic.penalty(), [weight])
    torch.testing.assert_close(gradient, torch.tensor([4.0 * 5.0 * 0.5, 0.0]))


def test_an_experience_without_a_finite_gradient_and_a_weight_without_one_count_nothing() -> None:
    weight, unused = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(2))
    losses = [weight.sum() * 2, weight.sum() * float("nan")]
    elastic = ElasticWeights([weight, unused], losses, strength=1.0)
    assert elastic.fisher[0].tolist() == [4.0]
    assert elastic.fisher[1].tolist() == [0.0, 0.0]


def test_a_negative_strength_is_refused() -> None:
    with pytest.raises(InputError, match=r"strength is -1\.0"):
        ElasticWeights([], [], strength=-1.0)


def examples(num: int, seed: int) -> Labelled:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(num) % 2
    return Labelled(
        inputs=(labels[:, None] * 2.0 - 1.0) + torch.randn(num, 3, generator=generator),
        labels=labels,
        outputs=torch.zeros(num, 2),
        contexts=torch.zeros(num, dtype=torch.int64),
        is_real=torch.ones(num, dtype=torch.bool),
    )


def test_the_stronger_the_penalty_the_less_a_night_moves_the_weights() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    start = torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    replay, examined = examples(200, 1), examples(100, 2)

    def moved(ewc: float) -> float:
        own = copy.deepcopy(model)
        plan = RehearsalPlan(num_steps=40, learning_rate=1e-2, ewc=ewc)
        rehearse(own, replay, examined, examined.labels.numpy() >= 0, plan)
        end = torch.nn.utils.parameters_to_vector(own.parameters()).detach()
        return float((end - start).norm())

    assert 0 < moved(1000.0) < 0.7 * moved(0.0)
    assert elastic_of_labelled(model, replay, strength=0.0) is None
    assert len(replay) > NUM_FISHER
