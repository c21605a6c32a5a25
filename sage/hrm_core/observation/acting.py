"""What a window teaches about acting: values by TD(lambda), actions by advantage-weighted regression.

Invariant: only what the loop did and what followed it is learned from; a return does not cross the end of an
episode. Shapes: B windows, T' learning ticks, K segments a tick, A actions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sage.hrm_core.model.recurrence import Carry, Output
from sage.hrm_core.observation.action import (
    ActionPolicy,
    advantage_weights,
    lambda_returns,
    weighted_regression,
)
from sage.hrm_core.observation.model import ObservationModel
from sage.hrm_core.observation.settings import LossSettings
from sage.hrm_core.observation.window import CUT_OFF, ENDED, ObservationWindow, by_tick


@torch.no_grad()
def value_at_end(
    model: ObservationModel, window: ObservationWindow, is_seen: Tensor, carry: Carry, num_segments: int
) -> Tensor:
    """(B,): the value at tick T, what the returns are bootstrapped from."""
    observation = window.rows(window.num_ticks, window.num_ticks + 1, is_seen)
    for _ in range(num_segments):
        carry, output = model(carry, observation)
    value: Tensor = output.value
    return value


def acting_loss(
    model: ObservationModel,
    outputs: list[Output],
    window: ObservationWindow,
    burn_in: int,
    last_value: Tensor,
    settings: LossSettings,
) -> tuple[Tensor, Tensor]:
    """Advantage-weighted regression and the squared TD(lambda) error; the last segment's value is the
    baseline.
    """
    returns, values = _returns(outputs, window, burn_in, last_value, settings)
    is_known = returns.isfinite()
    value_loss = _mean((values - torch.where(is_known, returns, 0.0)).square(), is_known)
    if outputs[0].action_mean is None:
        return torch.zeros_like(value_loss), value_loss
    action = by_tick(window.action, burn_in, window.num_ticks)  # (T', B, A)
    is_done = action.isfinite().all(-1)
    advantage = torch.where(is_done, returns - values[-1].detach(), torch.nan)
    weight = advantage_weights(advantage, temperature=settings.temperature, limit=settings.limit)
    policies = [_policy(model, output, returns.shape) for output in outputs]
    losses = [weighted_regression(policy, action, weight) for policy in policies]
    if settings.entropy:
        losses += [-settings.entropy * len(policies) * policies[-1].entropy().mean()]
    return torch.stack(losses).sum() / len(policies), value_loss


def _returns(
    outputs: list[Output], window: ObservationWindow, burn_in: int, last_value: Tensor, settings: LossSettings
) -> tuple[Tensor, Tensor]:
    """(T', B) targets, NaN where there is none, and (K, T', B) values."""
    reward = by_tick(window.reward, burn_in, window.num_ticks + 1) * settings.reward_scale  # (T' + 1, B)
    is_end = None
    if window.reset is not None:
        reset = by_tick(window.reset, burn_in, window.num_ticks + 1)
        # Of an episode that was cut off the last state is not seen: its last action has no target.
        reward = torch.where(reset == CUT_OFF, torch.nan, reward)
        is_end = reset == ENDED
    shape = (reward.shape[0] - 1, reward.shape[1])
    values = torch.stack([output.value.view(shape) for output in outputs if output.value is not None])
    baseline = torch.cat((values[-1].detach(), last_value[None]))
    returns = lambda_returns(
        reward, baseline, discount=settings.discount, trace=settings.trace, is_end=is_end
    )
    return returns, values


def _policy(model: ObservationModel, output: Output, shape: torch.Size) -> ActionPolicy:
    assert output.action_mean is not None
    assert output.action_log_std is not None
    return ActionPolicy(
        mean=output.action_mean.view(*shape, -1),
        log_std=output.action_log_std.view(*shape, -1),
        choices=model.front.choices,
    )


def _mean(x: Tensor, is_counted: Tensor) -> Tensor:
    is_counted = is_counted.expand_as(x)
    return torch.where(is_counted, x, 0.0).sum() / is_counted.sum().clamp(min=1)
