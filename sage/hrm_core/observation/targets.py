"""What the ticks of a window are held to: the readings that came next, and the readings of hidden sources.

Invariant: only what was delivered is a target, and only of a source that the model saw (prediction) or did
not (level).
Shapes: B windows, T' ticks from burn_in on, C channels, N sources, W worlds.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sage.hrm_core.observation.model import ObservationModel
from sage.hrm_core.observation.window import CUT_OFF, ObservationWindow, by_tick, by_world


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What the learning ticks are held to; residual: values[t + 1] - values[t] - skip[t], 0 where not
    scored.
    """

    residual: Tensor  # (T', B, C)
    is_scored: Tensor  # (T', B, C)
    level: Tensor  # (T', B, C): values - cross, 0 where not hidden
    is_level: Tensor  # (T', B, C)
    is_rewarded: Tensor  # (T', B, W): a reward came that answers this tick's action


@torch.no_grad()
def residual_squares(model: ObservationModel, window: ObservationWindow) -> Tensor:
    """(C,) mean square of what the skip left of the window's next readings, NaN where none came:
    `note_residuals` of it.
    """
    targets = find_targets(model, window, 0, window.present, torch.zeros_like(window.present))
    return targets.residual.square().sum((0, 1)) / targets.is_scored.sum((0, 1))


def find_targets(
    model: ObservationModel, window: ObservationWindow, burn_in: int, is_seen: Tensor, is_hidden: Tensor
) -> Targets:
    last, channel = window.num_ticks, model.channel_source
    now, then = by_tick(window.values, burn_in, last), by_tick(window.values, burn_in + 1, last + 1)
    arrives = by_tick(window.present & window.fresh, burn_in + 1, last + 1) & by_tick(
        is_seen, burn_in, last
    )  # (T', B, N)
    is_rewarded = by_tick(by_world(window.reward), burn_in + 1, last + 1).isfinite()
    if window.reset is not None:  # the first readings of a new episode do not follow from the last ones
        reset = by_tick(by_world(window.reset), burn_in + 1, last + 1)  # (T', B, W)
        arrives = arrives & ~model.tokens_start_again(reset > 0)[..., : arrives.shape[-1]]
        is_rewarded = is_rewarded & (reset != CUT_OFF)
    is_level = by_tick(is_hidden & window.fresh, burn_in, last)[..., channel]
    is_scored = arrives[..., channel]
    residual = then - now - by_tick(window.skip, burn_in, last)
    return Targets(
        residual=torch.where(is_scored, residual, 0.0),
        is_scored=is_scored,
        level=torch.where(is_level, now - by_tick(window.cross, burn_in, last), 0.0),
        is_level=is_level,
        is_rewarded=is_rewarded,
    )
