"""How alike two representations of the same inputs are: centred kernel alignment, debiased.

Linear CKA (Kornblith et al. 2019) with the unbiased HSIC estimator (Song et al. 2012, equation 5), so that
independent wide representations score near 0 at any number of samples.
"""

from __future__ import annotations

import math

import numpy as np

MIN_SAMPLES = 4


def debiased_cka(first: np.ndarray, second: np.ndarray) -> float:
    """first: (n, p).  second: (n, q), of the same n inputs.  1 for equal up to rotation and scale, near 0 for
    independent ones; chance carries it below 0. NaN for n < 4 or without variation.
    """
    if len(first) != len(second) or len(first) < MIN_SAMPLES:
        return math.nan
    return float(cka_at_lags(first, second, np.zeros(1, dtype=np.int64))[0])


def cka_at_lags(first: np.ndarray, second: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """(S,) debiased CKA of `first` with `second` moved in time by each of `lags` (S,), circularly."""
    one, two = _centered(first), _centered(second)
    variation = _unbiased_hsic(one, one) * _unbiased_hsic(two, two)
    if variation <= 0:
        return np.full(len(lags), math.nan)
    moved = (np.roll(two, (int(lag), int(lag)), axis=(0, 1)) for lag in lags)
    return np.array([_unbiased_hsic(one, each) for each in moved]) / math.sqrt(variation)


def biased_cka(first: np.ndarray, second: np.ndarray) -> float:
    """The same with the biased estimator, for comparison: independent p >> n gives values near 1."""
    one, two = (_rows_centered(values) for values in (first, second))
    gram_one, gram_two = one.dot(one.T), two.dot(two.T)
    norms = np.linalg.norm(gram_one) * np.linalg.norm(gram_two)
    return float((gram_one * gram_two).sum() / norms) if norms > 0 else math.nan


def _rows_centered(values: np.ndarray) -> np.ndarray:
    centered: np.ndarray = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
    return centered


def _centered(values: np.ndarray) -> np.ndarray:
    """The (n, n) Gram matrix of the rows, with a zero diagonal, as the unbiased estimator takes it."""
    rows = _rows_centered(values)
    gram: np.ndarray = rows.dot(rows.T)
    np.fill_diagonal(gram, 0.0)
    return gram


def _unbiased_hsic(one: np.ndarray, two: np.ndarray) -> float:
    n = len(one)
    sums_one, sums_two = one.sum(axis=0), two.sum(axis=0)
    total = (one * two).sum() + sums_one.sum() * sums_two.sum() / ((n - 1) * (n - 2))
    return float(total - 2.0 / (n - 2) * sums_one.dot(sums_two)) / (n * (n - 3))
