"""The weights and constants of a window's loss."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSettings:
    """How much each part counts, and the constants of the parts; a halt of 0 saves its look-ahead.

    huber_delta: residuals beyond it, in training standard deviations, count linearly; None: squared
    throughout.
    mask_ticks: mean length of a stretch in which a source is hidden.  discount, trace: of TD(lambda).
    temperature, limit: of advantage-weighted regression.  reward_scale: values are of reward x this.
    entropy: of the choices, which keeps them from becoming certain too early.
    """

    prediction: float = 1.0
    level: float = 1.0
    halt: float = 0.05
    action: float = 1.0
    value: float = 0.5
    huber_delta: float | None = 3.0
    mask_ticks: float = 4.0
    discount: float = 0.95
    trace: float = 0.9
    temperature: float = 1.0
    limit: float = 20.0
    reward_scale: float = 1.0
    entropy: float = 0.0
