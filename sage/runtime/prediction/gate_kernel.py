"""The gate channel by channel, compiled; documented in `gate`.

Invariant: the same as `gate` to rounding. rules: forgetting, recent forgetting, prior readings, z^2,
min_gain.
"""

# mypy: no-warn-return-any
# numba knows the element types of arrays, mypy does not
from __future__ import annotations

import numpy as np

from sage.compiled import kernel

MIN_READINGS = 16
TINY = 1e-300


@kernel
def share(sums: np.ndarray, recent: np.ndarray, rules: np.ndarray, channel: int, squared: float) -> float:
    """The regression coefficient of recent evidence, with a prior of a few usual readings."""
    proposed = sums[1, channel]
    long_share = min(max(sums[2, channel] / max(proposed, TINY), 0.0), 1.0)
    usual = rules[2] * proposed / max(sums[0, channel], 1.0)
    reached = max(recent[0, channel] + usual + squared, TINY)
    return min(max((recent[1, channel] + usual * long_share) / reached, 0.0), 1.0)


@kernel
def confidence(sums: np.ndarray, rules: np.ndarray, channel: int) -> float:
    """1 - z^2/t^2 - min_gain/R^2, not below 0."""
    count, proposed, paid = sums[0, channel], sums[1, channel], sums[2, channel]
    if count < MIN_READINGS or paid <= 0.0:
        return 0.0
    variance = max(sums[3, channel], proposed * sums[4, channel] / max(count, 1.0))
    doubt = rules[3] * variance + rules[4] * proposed * sums[5, channel]
    signal = paid * paid
    return 1.0 - doubt / max(signal, TINY) if signal > doubt else 0.0


@kernel
def learn(
    sums: np.ndarray, recent: np.ndarray, rules: np.ndarray, channel: int, residual: float, proposal: float
) -> None:
    squared, paid = proposal * proposal, residual * proposal
    missed = residual - share(sums, recent, rules, channel, squared) * proposal
    missed *= missed
    keep, keep_recent = rules[0], rules[1]
    sums[0, channel] = keep * sums[0, channel] + 1.0
    sums[1, channel] = keep * sums[1, channel] + squared
    sums[2, channel] = keep * sums[2, channel] + paid
    sums[3, channel] = keep * sums[3, channel] + squared * missed
    sums[4, channel] = keep * sums[4, channel] + missed
    sums[5, channel] = keep * sums[5, channel] + residual * residual
    recent[0, channel] = keep_recent * recent[0, channel] + squared
    recent[1, channel] = keep_recent * recent[1, channel] + paid


@kernel
def weigh(
    sums: np.ndarray, recent: np.ndarray, rules: np.ndarray, channels: np.ndarray, proposal: np.ndarray
) -> np.ndarray:
    used = np.empty(len(channels))
    for row, channel in enumerate(channels):
        reach = share(sums, recent, rules, channel, proposal[row] * proposal[row])
        used[row] = reach * confidence(sums, rules, channel)
    return used


@kernel
def update(
    sums: np.ndarray,
    recent: np.ndarray,
    rules: np.ndarray,
    channels: np.ndarray,
    residual: np.ndarray,
    proposal: np.ndarray,
) -> None:
    for row, channel in enumerate(channels):
        learn(sums, recent, rules, channel, residual[row], proposal[row])
