"""Shared information of several signals under a Gaussian copula: mutual information, total correlation,
O-information.

Signals are replaced by normal scores of their ranks (Ince et al. 2017); entropies are those of a Gaussian
with the expectation of the sample covariance's log determinant corrected exactly for n samples (Misra et al.
2005). All values are in nats.
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
    scores = normal_scores(np.concatenate((first, second), axis=1))
    parts = np.arange(scores.shape[1])
    return (
        _entropy(scores, parts[: first.shape[1]])
        + _entropy(scores, parts[first.shape[1] :])
        - _entropy(scores, parts)
    )


def total_correlation(signals: np.ndarray) -> float:
    """Sum of the entropies of p signals (n, p) less their joint entropy: 0 for independent ones (Watanabe
    1960). NaN for fewer samples than signals + 2, and where a signal is a copy of others.
    """
    scores = normal_scores(signals)
    return _sum_alone(scores) - _entropy(scores, np.arange(scores.shape[1]))


def o_information(signals: np.ndarray) -> float:
    """Total less dual total correlation of p signals (n, p) (Rosas et al. 2019): above 0 where redundancy
    dominates, below 0 for synergy.
    """
    scores = normal_scores(signals)
    num = int(scores.shape[1])
    every = np.arange(num)
    without: float = sum(_entropy(scores, np.delete(every, index)) for index in range(num))
    return (num - 2) * _entropy(scores, every) + _sum_alone(scores) - without


def _sum_alone(scores: np.ndarray) -> float:
    return sum(_entropy(scores, np.array([index])) for index in range(scores.shape[1]))


def _entropy(scores: np.ndarray, columns: np.ndarray) -> float:
    """Of a Gaussian, without the constant p/2 log(2 pi e), which cancels in every measure here."""
    num, size = len(scores), len(columns)
    if num < size + 2:
        return math.nan
    part = scores[:, columns]
    centered = part - part.mean(axis=0)
    sign, log_det = np.linalg.slogdet(np.atleast_2d(centered.T.dot(centered)) / (num - 1))
    if sign <= 0:
        return math.nan
    bias = sum(_digamma((num - index) / 2) for index in range(1, size + 1)) - size * math.log((num - 1) / 2)
    return 0.5 * (float(log_det) - bias)


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
