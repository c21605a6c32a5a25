"""What a window teaches about acting: values by TD(lambda), actions by advantage-weighted regression.

Invariant: only what the loop did and what followed it is learned from; a return does not cross the end of an
episode, and is of one world. Shapes: B windows, T' learning ticks, K segments a tick, A actions, W worlds.
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
from sage.hrm_core.observation.window import CUT_OFF, ENDED, ObservationWindow, by_tick, by_world


@torch.no_grad()
def value_at_end(
    model: ObservationModel, window: ObservationWindow, is_seen: Tensor, carry: Carry, num_segments: int
) -> Tensor:
    """(B, W): the values at tick T, what the returns are bootstrapped from."""
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
    baseline. An action is credited with the return of its world, one of no world with the sum of all.
    """
    returns, values = _returns(outputs, window, burn_in, last_value, settings)
    is_known = returns.isfinite()
    value_loss = _mean((values - torch.where(is_known, returns, 0.0)).square(), is_known)
    if outputs[0].action_mean is None:
        return torch.zeros_like(value_loss), value_loss
    action = by_tick(window.action, burn_in, window.num_ticks)  # (T', B, A)
    advantages = returns - values[-1].detach()  # (T', B, W)
    policies = [_policy(model, output, action.shape) for output in outputs]
    losses = []
    for world, actions in _actions_by_world(model).items():
        advantage = _of_world(advantages, world)
        done = action[..., actions]
        advantage = torch.where(done.isfinite().all(-1), advantage, torch.nan)
        weight = advantage_weights(advantage, temperature=settings.temperature, limit=settings.limit)
        losses += [weighted_regression(policy.only(actions), done, weight) for policy in policies]
    if settings.entropy:
        losses += [-settings.entropy * len(policies) * policies[-1].entropy().mean()]
    return torch.stack(losses).sum() / len(policies), value_loss


def _returns(
    outputs: list[Output], window: ObservationWindow, burn_in: int, last_value: Tensor, settings: LossSettings
) -> tuple[Tensor, Tensor]:
    """(T', B, W) targets, NaN where there is none, and (K, T', B, W) values."""
    last = window.num_ticks + 1
    reward = by_tick(by_world(window.reward), burn_in, last) * settings.reward_scale  # (T' + 1, B, W)
    is_end = None
    if window.reset is not None:
        reset = by_tick(by_world(window.reset), burn_in, last)
        # Of an episode that was cut off the last state is not seen: its last action has no target.
        reward = torch.where(reset == CUT_OFF, torch.nan, reward)
        is_end = reset == ENDED
    shape = (reward.shape[0] - 1, *reward.shape[1:])
    values = torch.stack([output.value.view(shape) for output in outputs if output.value is not None])
    baseline = torch.cat((values[-1].detach(), last_value[None]))
    returns = lambda_returns(
        reward, baseline, discount=settings.discount, trace=settings.trace, is_end=is_end
    )
    return returns, values


def _actions_by_world(model: ObservationModel) -> dict[int, list[int]]:
    """The actions of each world that has some, and of none (-1)."""
    front = model.front
    found: dict[int, list[int]] = {}
    for action, world in enumerate(front.action_worlds or [0] * front.num_actions):
        found.setdefault(world, []).append(action)
    return found


def _of_world(advantages: Tensor, world: int) -> Tensor:
    """(T', B) of (T', B, W): of one world, or the sum of those that are known, NaN without one."""
    if world >= 0:
        return advantages[..., world]
    total = advantages.nansum(-1)
    return torch.where(advantages.isnan().all(-1), torch.nan, total)


def _policy(model: ObservationModel, output: Output, shape: torch.Size) -> ActionPolicy:
    assert output.action_mean is not None
    assert output.action_log_std is not None
    return ActionPolicy(
        mean=output.action_mean.view(shape),
        log_std=output.action_log_std.view(shape),
        choices=model.front.choices,
    )


def _mean(x: Tensor, is_counted: Tensor) -> Tensor:
    is_counted = is_counted.expand_as(x)
    return torch.where(is_counted, x, 0.0).sum() / is_counted.sum().clamp(min=1)
