"""What the predictor is measured against, each online on the same readings: persistence, last delta, AR(8) by
RLS, and AR(8) with the limits of the package's own predictor.

Invariant: row t of every forecast is made from rows before t alone. Shapes: T readings of d channels.
"""

from __future__ import annotations

import numpy as np

from sage.runtime.prediction.coefficient_filter import CoefficientFilter
from sage.runtime.prediction.linear_skip import (
    DELTA_PRIOR,
    LEVEL_PRIOR,
    MAX_DEVIATIONS,
    MAX_GROWTH,
    MAX_LEVEL,
    SCALE_FORGETTING,
    WARM_READINGS,
)

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


def guarded_autoregression(actual: np.ndarray, last: np.ndarray, *, order: int = AR_ORDER) -> np.ndarray:
    """(T, d): AR(`order`) on the terms of the package's linear skip: `order` - 1 deltas in units of the usual
    delta and the level above the running mean, the same priors, the same limit of an outlier's weight in
    learning and of a prediction. One filter, whose memory is that of `autoregression`; no mixture, no gate.

    actual, last (T, d): as in `autoregression`.
    """
    num_channels = actual.shape[1]
    prior = np.array([DELTA_PRIOR] * (order - 1) + [LEVEL_PRIOR])
    filter_ = CoefficientFilter(num_channels, prior, (1.0 - AR_FORGETTING,))
    every = slice(None)
    deltas, mean = np.zeros((order - 1, num_channels)), last[0].astype(np.float64)
    energy, mass, usual = np.zeros(num_channels), 0.0, np.zeros(num_channels)
    regressors = np.zeros((order, num_channels))
    forecast = last.copy()
    for row, (reached, before) in enumerate(zip(actual, last)):
        inverse = np.where(usual > 0, 1.0 / np.where(usual > 0, usual, 1.0), 0.0)
        level = np.clip((before - mean) * inverse, -MAX_LEVEL, MAX_LEVEL)
        regressors = np.concatenate([deltas * inverse, level[None]])
        bound = np.maximum(MAX_DEVIATIONS, MAX_GROWTH * np.abs(deltas * inverse).max(axis=0))
        [change] = filter_.predict(every, regressors)
        forecast[row] = before + np.clip(change, -bound, bound) * usual
        delta = reached - before
        rate = np.full(num_channels, 1.0 / (row + WARM_READINGS))
        filter_.learn(every, regressors, delta * inverse, rate)
        energy, mass = SCALE_FORGETTING * energy + delta * delta, SCALE_FORGETTING * mass + 1.0
        usual = np.sqrt(energy / max(mass, 1.0))
        deltas = np.concatenate([delta[None], deltas[:-1]])
        mean += (reached - mean) * max(1.0 / (row + 2.0), 1e-4)
    return forecast


def _bounded(covariance: np.ndarray) -> np.ndarray:
    """Forgetting blows a covariance up where nothing moves; held at its prior's trace, it stays textbook RLS
    elsewhere.
    """
    covariance = 0.5 * (covariance + covariance.transpose(0, 2, 1))
    limit = AR_PRIOR_VARIANCE * covariance.shape[1]
    trace = np.trace(covariance, axis1=1, axis2=2)
    return covariance * np.minimum(1.0, limit / np.maximum(trace, 1e-300))[:, None, None]
