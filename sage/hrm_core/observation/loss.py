"""What a window teaches: the next readings, hidden levels, halting, and acting where there was a reward.

Invariant: only what was delivered is scored: a reading that is new at t + 1, of a source that the model saw
at t.
Shapes: B windows, T' = T - burn_in learning ticks, C channels, N sources, A actions, K segments a tick.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sage.errors import InputError
from sage.hrm_core.model.losses import halt_target
from sage.hrm_core.model.recurrence import Carry, Output
from sage.hrm_core.observation.acting import acting_loss, value_at_end
from sage.hrm_core.observation.model import Observation, ObservationModel
from sage.hrm_core.observation.settings import LossSettings
from sage.hrm_core.observation.targets import Targets, find_targets
from sage.hrm_core.observation.window import (
    ObservationWindow,
    by_tick,
    draw_hidden_sources,
    merge_carries,
    unroll,
)

__all__ = [
    "Lesson",
    "LossSettings",
    "ObservationWindow",
    "WindowErrors",
    "WindowLoss",
    "window_errors",
    "window_loss",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowLoss:
    """The parts of a loss, detached scalars before their weights; NaN where the window had nothing to
    score.
    """

    prediction: Tensor
    level: Tensor
    halt: Tensor
    action: Tensor
    value: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowErrors:
    """Mean squared error of each window (B,) in training variance, NaN where nothing was scored; num_scored
    channels.
    """

    model: Tensor
    skip: Tensor
    persistence: Tensor
    num_scored: Tensor


def window_loss(
    model: ObservationModel,
    window: ObservationWindow,
    *,
    burn_in: int,
    num_segments: int,
    mask_probability: float,
    generator: torch.Generator,
    settings: LossSettings | None = None,
) -> tuple[Tensor, WindowLoss]:
    """The loss of ticks burn_in..T-1 after each of their segments (deep supervision), to call backward() on.

    Sources are hidden at random. The ones seen train their prediction. A hidden one trains its level against
    its
    reading of that tick, as levels are read in the loop: from the initial carry, which never met the source.
    Halting is trained to say that one more segment would gain under 1% on the next readings. Action and value
    are trained where a reward is finite.
    """
    lesson = Lesson(
        model,
        window,
        burn_in=burn_in,
        num_segments=num_segments,
        mask_probability=mask_probability,
        generator=generator,
        settings=settings,
    )
    while lesson.advance():
        pass
    return lesson.loss()


class Lesson:
    """`window_loss` in pieces, for a loop that has a few milliseconds between two ticks.

    `advance` unrolls one segment at a time without a graph; then `loss` is one differentiated pass. The model
    must not change in between, except by small steps on other parts of the same windows, whose segments then
    start where the model before them left off.
    """

    def __init__(
        self,
        model: ObservationModel,
        window: ObservationWindow,
        *,
        burn_in: int,
        num_segments: int,
        mask_probability: float,
        generator: torch.Generator,
        settings: LossSettings | None = None,
    ) -> None:
        _check(window, burn_in, num_segments)
        self._model, self._window, self._burn_in, self._num_segments = model, window, burn_in, num_segments
        self._settings = settings or LossSettings()
        self._is_hidden = draw_hidden_sources(
            window.present, mask_probability, self._settings.mask_ticks, generator
        )
        self._is_seen = window.present & ~self._is_hidden
        self._unrolling = unroll(
            model, window, self._is_seen, num_ticks=window.num_ticks, num_segments=num_segments
        )
        self._carries: list[Carry] = []
        self.is_unrolled = False

    def advance(self) -> bool:
        """Unroll one segment; False when there is none left."""
        carry = next(self._unrolling, None)
        if carry is None:
            self.is_unrolled = True
            return False
        self._carries.append(carry)
        return True

    def loss(self, part: slice = slice(None)) -> tuple[Tensor, WindowLoss]:
        """As `window_loss`, once unrolled. part: of the windows."""
        assert self.is_unrolled, "advance() until it returns False"
        model, burn_in, num_segments, settings = (
            self._model,
            self._burn_in,
            self._num_segments,
            self._settings,
        )
        window, is_seen, carries = self._window, self._is_seen, self._carries
        is_hidden = self._is_hidden
        if part != slice(None):
            window, is_seen, is_hidden = window.only(part), is_seen[part], is_hidden[part]
            carries = [Carry(z_H=carry.z_H[part], z_L=carry.z_L[part]) for carry in carries]
        starts = carries[burn_in * num_segments :]  # of each learning segment, and the end
        observation = window.rows(burn_in, window.num_ticks, is_seen)
        targets = find_targets(model, window, burn_in, is_seen, is_hidden)
        outputs = [
            model(merge_carries(starts[k:-1:num_segments]), observation)[1] for k in range(num_segments)
        ]
        scale = model.residual_scale
        errors = [
            _prediction_error(output, targets, scale, settings) for output in outputs
        ]  # (T', B, C) each
        prediction = _mean(torch.stack(errors), targets.is_scored)
        # sync: once a step of learning, and it saves a pass or two
        has_level, is_rewarded = torch.stack((targets.is_level.any(), targets.is_rewarded.any())).tolist()
        level = torch.zeros_like(prediction)
        if has_level:
            level = _level_loss(model, observation, targets, num_segments, settings)
        ahead = merge_carries(starts[num_segments::num_segments])
        halt = _halt_loss(model, ahead, observation, outputs, errors, targets, settings)
        action = value = torch.zeros_like(prediction)
        if is_rewarded:
            last_value = value_at_end(model, window, is_seen, carries[-1], num_segments)
            action, value = acting_loss(model, outputs, window, burn_in, last_value, settings)
        total = (
            settings.prediction * prediction
            + settings.level * level
            + settings.halt * halt
            + settings.action * action
            + settings.value * value
        )
        return total, WindowLoss(
            prediction=_or_nan(prediction, targets.is_scored),
            level=_or_nan(level, targets.is_level),
            halt=_or_nan(halt, targets.is_scored & (settings.halt > 0)),
            action=_or_nan(action, targets.is_rewarded),
            value=_or_nan(value, targets.is_rewarded),
        )


@torch.no_grad()
def window_errors(
    model: ObservationModel,
    window: ObservationWindow,
    *,
    burn_in: int,
    num_segments: int,
    gate: Tensor | float = 1.0,
) -> WindowErrors:
    """Next-reading errors of ticks burn_in..T-1 with nothing hidden: skip + gate * model, skip alone,
    "nothing changes".
    """
    _check(window, burn_in, num_segments)
    carries = list(
        unroll(model, window, window.present, num_ticks=window.num_ticks, num_segments=num_segments)
    )
    last_segments = carries[(burn_in + 1) * num_segments - 1 : -1 : num_segments]
    _, output = model(merge_carries(last_segments), window.rows(burn_in, window.num_ticks, window.present))
    targets = find_targets(model, window, burn_in, window.present, torch.zeros_like(window.present))
    skip = by_tick(window.skip, burn_in, window.num_ticks)
    errors = (
        targets.residual - gate * _per_tick(output.prediction, targets),
        targets.residual,
        targets.residual + skip,
    )
    num_scored = targets.is_scored.sum((0, 2))  # (B,)
    means = [torch.where(targets.is_scored, error, 0.0).square().sum((0, 2)) / num_scored for error in errors]
    return WindowErrors(model=means[0], skip=means[1], persistence=means[2], num_scored=num_scored)


def _check(window: ObservationWindow, burn_in: int, num_segments: int) -> None:
    if not 0 <= burn_in < window.num_ticks:
        raise InputError(
            f"burn_in is {burn_in}: give 0 to {window.num_ticks - 1}, the window has {window.num_ticks} ticks"
            " with a target"
        )
    if num_segments < 1:
        raise InputError(f"num_segments is {num_segments}: give 1 or more")


def _per_tick(x: Tensor | None, targets: Targets) -> Tensor:
    """Rows (T' B, ...) of an output as (T', B, ...)."""
    assert x is not None
    return x.view(*targets.residual.shape[:2], *x.shape[1:])


def _distance(estimate: Tensor, target: Tensor, settings: LossSettings) -> Tensor:
    """Squared error, linear beyond huber_delta (continuous with its slope)."""
    if settings.huber_delta is None:
        return (estimate - target).square()
    return 2.0 * F.huber_loss(estimate, target, delta=settings.huber_delta, reduction="none")


def _prediction_error(output: Output, targets: Targets, scale: Tensor, settings: LossSettings) -> Tensor:
    return _distance(_per_tick(output.prediction, targets) / scale, targets.residual / scale, settings)


def _level_loss(
    model: ObservationModel,
    observation: Observation,
    targets: Targets,
    num_segments: int,
    settings: LossSettings,
) -> Tensor:
    carry, outputs = model.initial_carry(observation.values.shape[0], observation.values.device), []
    for _ in range(num_segments):
        carry, output = model(carry, observation)
        outputs.append(output)
    levels = torch.stack([_per_tick(output.level, targets) for output in outputs])  # (K, T', B, C)
    return _mean(_distance(levels, targets.level.expand_as(levels), settings), targets.is_level)


def _halt_loss(
    model: ObservationModel,
    ends: Carry,
    observation: Observation,
    outputs: list[Output],
    errors: list[Tensor],
    targets: Targets,
    settings: LossSettings,
) -> Tensor:
    """Look one segment past each tick's last; rows without a new reading have no halting target."""
    if settings.halt == 0:
        return torch.zeros_like(targets.residual).sum()
    with torch.no_grad():
        _, ahead = model(ends, observation)
    errors = [*errors, _prediction_error(ahead, targets, model.residual_scale, settings)]
    count = targets.is_scored.sum(-1)  # (T', B)
    means = torch.stack(
        [torch.where(targets.is_scored, error.detach(), 0.0).sum(-1) / count.clamp(min=1) for error in errors]
    )
    q_halt = torch.stack([_per_tick(output.q_halt, targets) for output in outputs])  # (K, T', B)
    target = halt_target(means[:-1], means[1:])
    return _mean(F.binary_cross_entropy_with_logits(q_halt, target, reduction="none"), count > 0)


def _mean(x: Tensor, is_counted: Tensor) -> Tensor:
    """Mean of x where is_counted (broadcast to x); 0 where nothing is, so that it adds nothing to a loss."""
    is_counted = is_counted.expand_as(x)
    return torch.where(is_counted, x, 0.0).sum() / is_counted.sum().clamp(min=1)


def _or_nan(part: Tensor, is_counted: Tensor) -> Tensor:
    return torch.where(is_counted.any(), part.detach(), torch.nan)
