"""The tanh-Gaussian, TD(lambda) and advantage weights against their definitions."""

from __future__ import annotations

import math

import pytest
import torch

from sage.hrm_core.observation.action import (
    ExplorationSchedule,
    TanhGaussian,
    advantage_weights,
    lambda_returns,
    weighted_regression,
)

NAN = math.nan


def test_log_prob_is_the_density_of_the_squashed_gaussian() -> None:
    action, mean, log_std = 0.7, 0.3, -0.5
    std = math.exp(log_std)
    gaussian = math.exp(-0.5 * ((math.atanh(action) - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))
    policy = TanhGaussian(mean=torch.tensor([mean]).double(), log_std=torch.tensor([log_std]).double())
    assert float(policy.log_prob(torch.tensor([action]).double())) == pytest.approx(
        math.log(gaussian / (1 - action**2))
    )


def test_log_prob_adds_over_joints() -> None:
    policy = TanhGaussian(mean=torch.tensor([0.3, -0.6]), log_std=torch.tensor([-0.5, 0.2]))
    each = [TanhGaussian(mean=policy.mean[i : i + 1], log_std=policy.log_std[i : i + 1]) for i in range(2)]
    action = torch.tensor([0.7, -0.95])
    torch.testing.assert_close(
        policy.log_prob(action), each[0].log_prob(action[:1]) + each[1].log_prob(action[1:])
    )


def test_the_density_integrates_to_one() -> None:
    grid = torch.linspace(-0.9989, 0.9989, 20001, dtype=torch.float64)[:, None]
    policy = TanhGaussian(mean=torch.full_like(grid, 0.4), log_std=torch.full_like(grid, -0.7))
    assert float(torch.trapezoid(policy.log_prob(grid).exp(), grid[:, 0])) == pytest.approx(1.0, abs=1e-3)


def test_an_action_at_its_limit_has_a_finite_gradient() -> None:
    mean = torch.zeros(2, 2, requires_grad=True)
    TanhGaussian(mean=mean, log_std=torch.zeros(2, 2)).log_prob(
        torch.tensor([[1.0, -1.0], [0.0, 1.0]])
    ).sum().backward()
    assert mean.grad is not None
    assert mean.grad.isfinite().all()


def test_samples_stay_inside_and_repeat_with_the_seed() -> None:
    policy = TanhGaussian(mean=torch.zeros(500, 2), log_std=torch.zeros(500, 2))
    one, other = (policy.sample(torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(one, other)
    assert float(one.abs().max()) <= 1.0
    assert float(one.atanh().std()) == pytest.approx(1.0, rel=0.1)


def test_lambda_returns_are_the_mixture_of_n_step_returns() -> None:
    generator = torch.Generator().manual_seed(0)
    reward, value = torch.randn(6, 1, generator=generator), torch.randn(6, 1, generator=generator)
    discount, trace, last = 0.9, 0.7, 5

    def n_step(tick: int, steps: int) -> float:
        rewards = sum(discount**i * float(reward[tick + 1 + i]) for i in range(steps))
        return rewards + discount**steps * float(value[tick + steps])

    found = lambda_returns(reward, value, discount=discount, trace=trace)
    for tick in range(last):
        left = last - tick
        mixed = sum((1 - trace) * trace ** (n - 1) * n_step(tick, n) for n in range(1, left))
        assert float(found[tick]) == pytest.approx(mixed + trace ** (left - 1) * n_step(tick, left), abs=1e-5)


def test_a_missing_reward_teaches_nothing_and_does_not_spread() -> None:
    reward, value = torch.tensor([[NAN], [1.0], [NAN], [2.0]]), torch.tensor([[0.0], [5.0], [7.0], [3.0]])
    found = lambda_returns(reward, value, discount=0.5, trace=1.0)
    assert found[1].isnan().all()
    assert found[0].item() == pytest.approx(1.0 + 0.5 * 5.0)
    assert found[2].item() == pytest.approx(2.0 + 0.5 * 3.0)


def test_weights_rise_with_the_advantage_and_do_not_depend_on_the_unit_of_reward() -> None:
    advantage = torch.tensor([-1.0, 0.0, 0.5, 4.0])
    weights = advantage_weights(advantage, temperature=1.0, limit=20.0)
    assert (weights.diff() > 0).all()
    torch.testing.assert_close(
        advantage_weights(advantage * 1000 + 7, temperature=1.0, limit=20.0), weights, rtol=1e-4, atol=1e-4
    )


def test_weights_are_limited_and_unknown_advantages_weigh_nothing() -> None:
    weights = advantage_weights(torch.tensor([0.0, 0.0, 0.0, 100.0, NAN]), temperature=0.1, limit=20.0)
    assert weights[3].item() == 20.0
    assert weights[4].item() == 0.0
    assert weights.isfinite().all()


def test_equal_advantages_weigh_the_same() -> None:
    torch.testing.assert_close(
        advantage_weights(torch.full((5,), 3.0), temperature=1.0, limit=20.0), torch.ones(5)
    )


def test_regression_moves_the_mean_towards_what_paid() -> None:
    mean = torch.zeros(3, 1, requires_grad=True)
    policy = TanhGaussian(mean=mean, log_std=torch.zeros(3, 1))
    weighted_regression(
        policy, torch.tensor([[0.5], [-0.5], [NAN]]), torch.tensor([2.0, 1.0, 5.0])
    ).backward()
    assert mean.grad is not None
    assert mean.grad[0].item() == pytest.approx(-2 * mean.grad[1].item())
    assert mean.grad[0].item() < 0  # descent raises it
    assert mean.grad[2].item() == 0.0


def test_exploration_falls_by_equal_ratios_and_then_stays() -> None:
    schedule = ExplorationSchedule(first=1.0, last=0.01, num_steps=10)
    assert schedule.std(0) == 1.0
    assert schedule.std(5) == pytest.approx(0.1)
    assert schedule.std(10) == schedule.std(99) == pytest.approx(0.01)


def test_a_rising_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="last"):
        ExplorationSchedule(first=0.1, last=0.5)
