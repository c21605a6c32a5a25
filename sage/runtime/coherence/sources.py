"""Whether sources agree and whether what they agree on is right.

pred.xerr: the normalised innovation squared. agreement, correctness and their composite. agree.js: the
Jensen-Shannon divergence of the sources' distributions over classes.
"""

from __future__ import annotations

import math

import numpy as np


def cross_error(nis: np.ndarray) -> float:
    """Mean leave-one-out NIS per degree of freedom: 1 when the sources agree given their stated uncertainty.

    nis: any shape, NaN where nothing was judged.  A bias b of one source adds b' S^-1 b / m to its own.
    """
    is_judged = ~np.isnan(nis)
    return float(nis[is_judged].mean()) if is_judged.any() else math.nan


def cross_error_deviation(nis: np.ndarray, dims: np.ndarray) -> float:
    """Standard deviation of `cross_error` where every stated uncertainty is right and time steps are
    independent.

    nis: (T, N) per degree of freedom, NaN where not judged.  dims: (N,) degrees of freedom.  The k sources
    of one tick share their estimates: their sum has k - 1 free parts of k (exact for equal variances).
    """
    is_judged = ~np.isnan(nis)
    num = is_judged.sum(axis=1)
    total = int(num.sum())
    if not total:
        return math.nan
    variance = (is_judged * (2.0 / dims)).sum(axis=1) * num / np.maximum(num - 1, 1)
    return math.sqrt(float(variance.sum())) / total


def agreement(states: np.ndarray, trust: np.ndarray) -> float:
    """Mean over ticks of the trust-weighted mean cosine over pairs of sources.

    states: (T, N, D); each source's mean over the ticks is subtracted.  trust: (N,).  NaN for fewer than two
    sources with trust above 0.
    """
    unit = directions(states)
    return float(weighted_agreement(np.einsum("tid,tjd->ij", unit, unit) / len(unit), trust))


def directions(states: np.ndarray) -> np.ndarray:
    """(T, N, D) unit vectors of the states less their mean over time."""
    moving: np.ndarray = states.astype(np.float64) - states.mean(axis=0, dtype=np.float64)
    moving /= np.maximum(np.linalg.norm(moving, axis=-1, keepdims=True), 1e-12)
    return moving


def weighted_agreement(cosines: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """(...,) trust-weighted means over pairs of (..., N, N) cosines. trust: (N,)."""
    weight = np.outer(trust, trust)
    np.fill_diagonal(weight, 0.0)
    total = float(weight.sum())
    if total <= 1e-12 * float(trust.sum()) ** 2 or total <= 0:
        return np.full(cosines.shape[:-2], math.nan)
    found: np.ndarray = (cosines * weight).sum(axis=(-2, -1)) / total
    return found


def skill(error: np.ndarray, baseline_error: np.ndarray) -> float:
    """1 - sum of squared errors / that of the baseline, over the entries where both are finite; NaN for a
    baseline without error.
    """
    both = np.isfinite(error) & np.isfinite(baseline_error)
    total = float(baseline_error[both].sum())
    return 1 - float(error[both].sum()) / total if total > 0 else math.nan


def composite(agreement_above_chance: float, correctness: float) -> float:
    """sqrt(agreement x correctness), each limited to 0..1: agreement on a wrong prediction counts nothing."""
    limited = [min(max(value, 0.0), 1.0) for value in (agreement_above_chance, correctness)]
    if math.isnan(agreement_above_chance) or math.isnan(correctness):
        return math.nan
    return math.sqrt(limited[0] * limited[1])


def class_agreement(probabilities: np.ndarray, weights: np.ndarray | None = None) -> float:
    """1 - Jensen-Shannon divergence / its bound, the entropy of the weights.

    probabilities: (N, K), each row a distribution.  weights: (N,), default equal.  1 for equal rows, 0 for
    rows without a common class. NaN for fewer than two rows with a weight above 0.
    """
    num = len(probabilities)
    weight = np.full(num, 1 / num) if weights is None else weights / max(float(weights.sum()), 1e-300)
    bound = _entropy(weight)
    if bound <= 1e-12:
        return math.nan
    mixture = weight.dot(probabilities)
    divergence = _entropy(mixture) - sum(w * _entropy(row) for w, row in zip(weight, probabilities))
    return 1 - float(divergence) / bound


def _entropy(probabilities: np.ndarray) -> float:
    positive = probabilities[probabilities > 0]
    return float(-(positive * np.log(positive)).sum())
