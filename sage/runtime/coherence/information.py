"""Shared information of several signals under a Gaussian copula: mutual information, total correlation,
O-information.

Signals are replaced by normal scores of their ranks (Ince et al. 2017); entropies are those of a Gaussian
with the expectation of the sample correlation's log determinant corrected for n samples (Misra et al. 2005).
All values are in nats.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np


def normal_scores(signals: np.ndarray) -> np.ndarray:
    """(n, p) with each column's ranks mapped to standard normal quantiles. Ties take their order."""
    num = len(signals)
    inverse = NormalDist().inv_cdf
    quantiles = np.array([inverse(rank / (num + 1)) for rank in range(1, num + 1)])
    scores = np.empty(signals.shape)
    order = np.argsort(signals, axis=0, kind="stable")
    np.put_along_axis(scores, order, np.broadcast_to(quantiles[:, None], signals.shape), axis=0)
    return scores


def mutual_information(first: np.ndarray, second: np.ndarray) -> float:
    """Between two groups of signals (n, p) and (n, q)."""
    correlation = correlations(normal_scores(np.concatenate((first, second), axis=1)))
    parts = np.arange(len(correlation))
    num, split = len(first), first.shape[1]
    return float(
        _entropy(correlation, parts[:split], num)
        + _entropy(correlation, parts[split:], num)
        - _entropy(correlation, parts, num)
    )


def total_correlation(signals: np.ndarray) -> float:
    """Sum of the entropies of p signals (n, p) less their joint entropy: 0 for independent ones (Watanabe
    1960). NaN for fewer samples than signals + 2, and where a signal is a copy of others.
    """
    return float(total_correlation_of(correlations(normal_scores(signals)), len(signals)))


def o_information(signals: np.ndarray) -> float:
    """Total less dual total correlation of p signals (n, p) (Rosas et al. 2019): above 0 where redundancy
    dominates, below 0 for synergy.
    """
    return float(o_information_of(correlations(normal_scores(signals)), len(signals)))


def correlations(scores: np.ndarray) -> np.ndarray:
    """(p, p) of normal scores (n, p)."""
    centered = scores - scores.mean(axis=0)
    scale = np.sqrt((centered**2).sum(axis=0))
    found: np.ndarray = centered.T.dot(centered) / np.outer(scale, scale)
    return found


def total_correlation_of(correlation: np.ndarray, num: int) -> np.ndarray:
    """(...,) from correlation matrices (..., p, p) of `num` samples. Entropies of single signals are 0."""
    return -_entropy(correlation, np.arange(correlation.shape[-1]), num)


def o_information_of(correlation: np.ndarray, num: int) -> np.ndarray:
    """(...,) from correlation matrices (..., p, p) of `num` samples."""
    size = correlation.shape[-1]
    every = np.arange(size)
    total: np.ndarray = (size - 2) * _entropy(correlation, every, num)
    for index in range(size):
        total = total - _entropy(correlation, np.delete(every, index), num)
    return total


def _entropy(correlation: np.ndarray, columns: np.ndarray, num: int) -> np.ndarray:
    """(...,) of standard Gaussians, without the constant p/2 log(2 pi e), which cancels in every measure.

    The marginals of normal scores are known, so that only the correlation's log determinant is corrected: for
    independent signals its expectation is the sum over i of digamma((n - i)/2) - digamma((n - 1)/2).
    """
    size = len(columns)
    part = correlation[..., columns[:, None], columns]
    if num < size + 2:
        return np.full(part.shape[:-2], math.nan)
    sign, log_det = np.linalg.slogdet(part)
    bias = sum(_digamma((num - index) / 2) - _digamma((num - 1) / 2) for index in range(2, size + 1))
    found: np.ndarray = np.where(sign > 0, 0.5 * (log_det - bias), math.nan)
    return found


def _digamma(x: float) -> float:
    """For x > 0: recurrence up to 6, then the asymptotic series (Abramowitz and Stegun, 6.3.18)."""
    result = 0.0
    while x < 6:
        result -= 1 / x
        x += 1
    inverse = 1 / (x * x)
    series = inverse * (
        1 / 12 - inverse * (1 / 120 - inverse * (1 / 252 - inverse * (1 / 240 - inverse / 132)))
    )
    return result + math.log(x) - 0.5 / x - series
