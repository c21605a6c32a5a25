"""The policy of the action head, and learning to act: TD(lambda) values, advantage-weighted regression.

A policy is a tanh-Gaussian in [-1, 1] for each action, except where one of a group of actions is chosen:
there the means are the logits of the choice.

Invariant: nothing here draws unless it is given a generator; a NaN reward or advantage teaches nothing.
Conventions: `reward[t + 1]` answers the action taken at t. Shapes: T ticks, B rows, A actions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

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
class ActionPolicy:
    """What the action head proposes: mean, log_std (..., A), and the groups of which one action is chosen.

    choices: (first, stop) of each group. In an action the chosen one of a group is 1, the others are -1; a
    group without a 1 was not done, and has no probability.
    """

    mean: Tensor
    log_std: Tensor
    choices: tuple[tuple[int, int], ...] = ()
    _rest: list[int] = field(init=False)

    def __post_init__(self) -> None:
        chosen = {index for first, stop in self.choices for index in range(first, stop)}
        object.__setattr__(self, "_rest", [i for i in range(self.mean.shape[-1]) if i not in chosen])

    def only(self, actions: list[int]) -> ActionPolicy:
        """The policy of some of the actions, with whole groups, in their order."""
        place = {action: at for at, action in enumerate(actions)}
        choices = [(place[first], place[stop - 1] + 1) for first, stop in self.choices if first in place]
        return ActionPolicy(
            mean=self.mean[..., actions], log_std=self.log_std[..., actions], choices=tuple(choices)
        )

    def log_prob(self, action: Tensor) -> Tensor:
        """log density, for a choice the log probability, of action (..., A) -> (...)."""
        if not self.choices:
            return TanhGaussian(mean=self.mean, log_std=self.log_std).log_prob(action)
        parts = [self._log_prob_of(action[..., first:stop], first, stop) for first, stop in self.choices]
        if self._rest:
            rest = TanhGaussian(mean=self.mean[..., self._rest], log_std=self.log_std[..., self._rest])
            parts.append(rest.log_prob(action[..., self._rest]))
        return torch.stack(parts).sum(0)

    def entropy(self) -> Tensor:
        """Of the choices, in nats, summed over the groups -> (...); 0 without any."""
        total = torch.zeros_like(self.mean[..., 0])
        for first, stop in self.choices:
            log_share = self.mean[..., first:stop].log_softmax(-1)
            total = total - (log_share.exp() * log_share).sum(-1)
        return total

    def _log_prob_of(self, action: Tensor, first: int, stop: int) -> Tensor:
        log_share = self.mean[..., first:stop].log_softmax(-1)
        return torch.where(action > 0, log_share, 0.0).sum(-1)


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


def lambda_returns(
    reward: Tensor, value: Tensor, *, discount: float, trace: float, is_end: Tensor | None = None
) -> Tensor:
    """TD(lambda) targets: reward, value (T + 1, ...) -> (T, ...), bootstrapped from value[T].

    G_t = r_{t+1} + discount ((1 - trace) V_{t+1} + trace G_{t+1}), G_T = V_T. NaN where r_{t+1} is NaN; the
    tick before such a gap bootstraps from its value alone. is_end: (T + 1, ...) bool, an episode ended with
    this reward, so that nothing follows it: G_t = r_{t+1}.
    """
    result = torch.empty_like(reward[1:])
    onward = value[-1]
    for tick in range(reward.shape[0] - 2, -1, -1):
        following = discount * ((1.0 - trace) * value[tick + 1] + trace * onward)
        if is_end is not None:
            following = torch.where(is_end[tick + 1], 0.0, following)
        result[tick] = reward[tick + 1] + following
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


def weighted_regression(policy: TanhGaussian | ActionPolicy, action: Tensor, weight: Tensor) -> Tensor:
    """Mean of -weight log pi(action) over the rows with a weight above 0; action (..., A), weight (...) ->
    ().
    """
    is_known = (weight > 0) & action.isfinite().all(-1)
    log_prob = policy.log_prob(torch.where(is_known.unsqueeze(-1), action, 0.0))
    return -(torch.where(is_known, weight, 0.0) * log_prob).sum() / is_known.sum().clamp(min=1)
