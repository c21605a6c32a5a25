"""What the predictor is measured against, each online on the same readings: persistence, last delta, AR(8) by
RLS.

Invariant: row t of every forecast is made from rows before t alone. Shapes: T readings of d channels.
"""

from __future__ import annotations

import numpy as np

AR_ORDER = 8
AR_FORGETTING = 0.999
AR_PRIOR_VARIANCE = (
    1e3  # of a coefficient, in units of the channel's training variance: close to least squares
)
AR_WARM_READINGS = 32  # until then it learns and answers with persistence, which flatters it


def last_delta(actual: np.ndarray, last: np.ndarray) -> np.ndarray:
    """(T, d): the reading before, and once more what it had changed by."""
    change = np.zeros_like(last)
    change[1:] = last[1:] - last[:-1]
    return last + change


def autoregression(
    actual: np.ndarray,
    last: np.ndarray,
    *,
    scale: np.ndarray,
    order: int = AR_ORDER,
    forgetting: float = AR_FORGETTING,
) -> np.ndarray:
    """(T, d): each channel's level from its own last `order` levels and an intercept, by recursive least
    squares.

    actual, last (T, d): `last` is the reading before `actual`, also for the first row.  scale: (d,), for
    conditioning.
    """
    levels = np.concatenate([last[:1], actual]) - last[0]
    levels = levels / np.where(scale > 0, scale, 1.0)  # (T + 1, d)
    num_channels, size = levels.shape[1], order + 1
    weights = np.zeros((num_channels, size))
    covariance = np.tile(np.eye(size) * AR_PRIOR_VARIANCE, (num_channels, 1, 1))
    forecast = last.copy()
    for row in range(order, len(levels)):
        past = np.concatenate(
            [levels[row - order : row][::-1].T, np.ones((num_channels, 1))], axis=1
        )  # (d, size)
        guess = (weights * past).sum(axis=1)
        if row > AR_WARM_READINGS:
            forecast[row - 1] = guess * np.where(scale > 0, scale, 1.0) + last[0]
        spread = np.einsum("cij,cj->ci", covariance, past)
        gain = spread / (forgetting + (past * spread).sum(axis=1))[:, None]
        weights += gain * (levels[row] - guess)[:, None]
        covariance = _bounded((covariance - gain[:, :, None] * spread[:, None, :]) / forgetting)
    return forecast


def _bounded(covariance: np.ndarray) -> np.ndarray:
    """Forgetting blows a covariance up where nothing moves; held at its prior's trace, it stays textbook RLS
    elsewhere.
    """
    covariance = 0.5 * (covariance + covariance.transpose(0, 2, 1))
    limit = AR_PRIOR_VARIANCE * covariance.shape[1]
    trace = np.trace(covariance, axis1=1, axis2=2)
    return covariance * np.minimum(1.0, limit / np.maximum(trace, 1e-300))[:, None, None]
