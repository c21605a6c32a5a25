"""EffectorGate and learning to act: a tanh-Gaussian in [-1, 1]^A, TD(lambda) values, advantage-weighted
regression.

Invariant: nothing here draws unless it is given a generator; a NaN reward or advantage teaches nothing.
Conventions: `reward[t + 1]` answers the action taken at t. Shapes: T ticks, B rows, A actions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sage.errors import InputError

#: An action of exactly +-1 has no finite preimage; limits and clipping make such actions common.
ACTION_LIMIT = 0.999


@dataclass(frozen=True, slots=True, kw_only=True)
class TanhGaussian:
    """a = tanh(u), u ~ N(mean, exp(log_std)^2); mean, log_std (..., A)."""

    mean: Tensor
    log_std: Tensor

    @property
    def mode(self) -> Tensor:
        """tanh of the mean: what to do when not exploring, (..., A) in -1..1."""
        return self.mean.tanh()

    def sample(self, generator: torch.Generator) -> Tensor:
        """(..., A) in -1..1. The draw is on the generator's device."""
        noise = torch.randn(
            self.mean.shape, generator=generator, device=generator.device, dtype=self.mean.dtype
        )
        return (self.mean + self.log_std.exp() * noise.to(self.mean.device)).tanh()

    def log_prob(self, action: Tensor) -> Tensor:
        """log density of action (..., A) -> (...), by the change of variables.

        log(1 - tanh(u)^2) is taken as 2 (log 2 - u - softplus(-2 u)), which keeps its digits for large u.
        """
        u = action.clamp(-ACTION_LIMIT, ACTION_LIMIT).atanh()
        gaussian = (
            -0.5 * ((u - self.mean) * (-self.log_std).exp()).square()
            - self.log_std
            - 0.5 * math.log(2.0 * math.pi)
        )
        return (gaussian - 2.0 * (math.log(2.0) - u - F.softplus(-2.0 * u))).sum(-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplorationSchedule:
    """A fixed schedule of exploration: the std before the tanh, from `first` to `last` by equal ratios over
    num_steps.
    """

    first: float = 1.0
    last: float = 0.1
    num_steps: int = 1000

    def __post_init__(self) -> None:
        if not 0 < self.last <= self.first:
            raise InputError(f"last is {self.last}: give a std above 0 and at most first ({self.first})")
        if self.num_steps < 1:
            raise InputError(f"num_steps is {self.num_steps}: give 1 or more")

    def std(self, step: int) -> float:
        share = min(max(step, 0) / self.num_steps, 1.0)
        return float(self.first * (self.last / self.first) ** share)


def lambda_returns(reward: Tensor, value: Tensor, *, discount: float, trace: float) -> Tensor:
    """TD(lambda) targets: reward, value (T + 1, B) -> (T, B), bootstrapped from value[T].

    G_t = r_{t+1} + discount ((1 - trace) V_{t+1} + trace G_{t+1}), G_T = V_T. NaN where r_{t+1} is NaN; the
    tick before such a gap bootstraps from its value alone.
    """
    result = torch.empty_like(reward[1:])
    onward = value[-1]
    for tick in range(reward.shape[0] - 2, -1, -1):
        result[tick] = reward[tick + 1] + discount * ((1.0 - trace) * value[tick + 1] + trace * onward)
        onward = torch.where(result[tick].isnan(), value[tick], result[tick])
    return result


def advantage_weights(advantage: Tensor, *, temperature: float, limit: float) -> Tensor:
    """exp(standardised advantage / temperature), at most `limit`; 0 where the advantage is NaN (AWR, arXiv
    1910.00177).

    Standardised over the finite ones, so that the temperature means the same in any reward's unit.
    """
    is_known = advantage.isfinite()
    known = torch.where(is_known, advantage, 0.0)
    count = is_known.sum().clamp(min=1)
    centred = torch.where(is_known, known - known.sum() / count, 0.0)
    std = (centred.square().sum() / count).sqrt().clamp(min=1e-6)
    return torch.where(is_known, (centred / std / temperature).exp().clamp(max=limit), 0.0)


def weighted_regression(policy: TanhGaussian, action: Tensor, weight: Tensor) -> Tensor:
    """Mean of -weight log pi(action) over the rows with a weight above 0; action (..., A), weight (...) ->
    ().
    """
    is_known = (weight > 0) & action.isfinite().all(-1)
    log_prob = policy.log_prob(torch.where(is_known.unsqueeze(-1), action, 0.0))
    return -(torch.where(is_known, weight, 0.0) * log_prob).sum() / is_known.sum().clamp(min=1)
