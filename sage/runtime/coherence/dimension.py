"""The number of dimensions that activity fills: the participation ratio, unbiased in the number of samples.

COGNITION.md, Coherence (dim.pr). The naive ratio of a d-dimensional isotropic cloud is near n when n << d.
"""

from __future__ import annotations

import math

import numpy as np

MIN_SAMPLES = 4


def participation_ratio(samples: np.ndarray) -> float:
    """(sum of eigenvalues)^2 / sum of squared eigenvalues of the covariance; numerator and denominator are
    each unbiased for any distribution with finite fourth moments.

    samples: (n, d), one row each.  Returns NaN for n < 4 and where the estimated denominator is not above 0.
    Chance may carry the result of a few samples outside 1..d.
    """
    square_of_trace, trace_of_square = _moments(samples)
    return square_of_trace / trace_of_square if trace_of_square > 0 else math.nan


def naive_participation_ratio(samples: np.ndarray) -> float:
    """The same from the sample covariance, without correction: at most n - 1. samples: (n, d)."""
    matrix, lengths = _inner_products(samples)
    square = float((matrix**2).sum())
    return float(lengths.sum()) ** 2 / square if square > 0 else math.nan


def jackknife(samples: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """The ratio and its standard error, leaving out one group of rows at a time.

    samples: (n, d).  groups: (n,), the independent unit of each row, e.g. its puzzle.
    """
    names = np.unique(groups)
    whole = participation_ratio(samples)
    parts = np.array([participation_ratio(samples[groups != name]) for name in names])
    num = len(names)
    if num < 2:
        return whole, math.nan
    return whole, float(np.sqrt((num - 1) / num * ((parts - parts.mean()) ** 2).sum()))


def _moments(samples: np.ndarray) -> tuple[float, float]:
    """Unbiased (tr C)^2 and tr C^2 of the true covariance C (COGNITION.md)."""
    n = len(samples)
    if n < MIN_SAMPLES:
        return math.nan, math.nan
    matrix, lengths = _inner_products(samples)
    t1 = float(lengths.sum()) / (n - 1)
    t2 = float((matrix**2).sum()) / (n - 1) ** 2
    q = float((lengths**2).sum()) / (n - 1)
    k = (n - 1) / (n * (n - 2) * (n - 3))
    trace_of_square = k * ((n - 1) * (n - 2) * t2 + t1**2 - n * q)
    square_of_trace = k * (2 * t2 + (n**2 - 3 * n + 1) * t1**2 - n * q)
    return square_of_trace, trace_of_square


def _inner_products(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of rows less their mean: the inner products of the rows (n, n), or of the columns (d, d) where those
    are fewer; either has the covariance's eigenvalues times n - 1. And the rows' squared lengths (n,).
    """
    centered = samples.astype(np.float64) - samples.mean(axis=0, dtype=np.float64)
    n, d = centered.shape
    matrix: np.ndarray = centered.dot(centered.T) if n <= d else centered.T.dot(centered)
    return matrix, (centered**2).sum(axis=1)
