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
    one, two = _rows_centered(first), _rows_centered(second)
    variation = _unbiased_hsic(one, one) * _unbiased_hsic(two, two)
    if variation <= 0:
        return np.full(len(lags), math.nan)
    rows = np.arange(len(two))
    moved = (two[(rows - int(lag)) % len(two)] for lag in lags)
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


def _unbiased_hsic(one: np.ndarray, two: np.ndarray) -> float:
    """Of Gram matrices with a zero diagonal (Song et al. 2012, equation 5), from centred rows (n, p), (n, q).

    Rows of a centred Gram matrix add up to 0, so that without its diagonal they add up to minus the squared
    lengths; and the sum of products of two Gram matrices is the squared norm of the rows' cross product.
    """
    n = len(one)
    lengths_one, lengths_two = (one**2).sum(axis=1), (two**2).sum(axis=1)
    if n < one.shape[1]:
        products = float((one.dot(one.T) * two.dot(two.T)).sum())
    else:
        products = float((one.T.dot(two) ** 2).sum())
    shared = float(lengths_one.dot(lengths_two))
    total = products - shared + float(lengths_one.sum() * lengths_two.sum()) / ((n - 1) * (n - 2))
    return (total - 2.0 / (n - 2) * shared) / (n * (n - 3))
