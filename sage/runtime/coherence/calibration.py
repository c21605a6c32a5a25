"""Whether stated confidence is the share that is right: calibration error without its bias in the bins,
Brier score, negative log likelihood.
"""

from __future__ import annotations

import math

import numpy as np


def squared_calibration_error(confidence: np.ndarray, is_right: np.ndarray, *, bins: int = 10) -> float:
    """Debiased squared calibration error over bins of equal count (Kumar et al. 2019, section 5): 0 on
    average for a calibrated source, so that chance carries it below 0.

    confidence: (n,) in 0..1.  is_right: (n,) of 0 or 1.  NaN for fewer than two samples a bin.
    """
    num = len(confidence)
    if num < 2 * bins:
        return math.nan
    order = np.argsort(confidence, kind="stable")
    total = 0.0
    for part in np.array_split(order, bins):
        share = float(is_right[part].mean())
        gap = float(confidence[part].mean()) - share
        total += len(part) / num * (gap**2 - share * (1 - share) / (len(part) - 1))
    return total


def calibration_error(confidence: np.ndarray, is_right: np.ndarray, *, bins: int = 10) -> float:
    """Root of the debiased squared error, 0 where that is not above 0 (cal.ece)."""
    squared = squared_calibration_error(confidence, is_right, bins=bins)
    return math.nan if math.isnan(squared) else math.sqrt(max(squared, 0.0))


def naive_calibration_error(confidence: np.ndarray, is_right: np.ndarray, *, bins: int = 10) -> float:
    """Mean absolute gap over bins of equal width (Guo et al. 2017), for comparison: biased upwards."""
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.array([confidence[index == bin_].sum() - is_right[index == bin_].sum() for bin_ in range(bins)])
    return float(np.abs(gaps).sum() / len(confidence)) if len(confidence) else math.nan


def brier(confidence: np.ndarray, is_right: np.ndarray) -> float:
    """Mean squared difference of confidence and outcome, 0..1."""
    return float(((confidence - is_right) ** 2).mean()) if len(confidence) else math.nan


def log_loss(confidence: np.ndarray, is_right: np.ndarray, *, floor: float = 1e-4) -> float:
    """Mean negative log likelihood in nats; probabilities are limited to floor..1 - floor."""
    if not len(confidence):
        return math.nan
    limited = np.clip(confidence, floor, 1 - floor)
    return float(-np.log(np.where(is_right > 0.5, limited, 1 - limited)).mean())
