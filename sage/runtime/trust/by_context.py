"""Trust comes back with its context: what entity memory holds of a source moves its evidence where a context
begins.

The log odds of "the next reading is right" move by the difference between the source's record in the new
context and its record in the old one. What is new, and therefore in no record yet, is kept: a fault that has
just begun stays distrusted in every context, one that was always there in the old context stays there.
Invariant: a source with equal records in both contexts keeps its evidence to the bit.
"""

from __future__ import annotations

import numpy as np

#: A share of right readings in a record counts as no less, so that a source can regain trust.
MIN_SHARE = 0.1
#: After a change of context the share is no higher, if it was not before.
MAX_SHARE = 0.97


def log_odds_between(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(N,) difference of the log odds of two shares (N,) in 0..1; 0 where these are equal."""
    before, after = np.clip(before, MIN_SHARE, MAX_SHARE), np.clip(after, MIN_SHARE, MAX_SHARE)
    moved: np.ndarray = np.log(after / (1 - after)) - np.log(before / (1 - before))
    return moved


def moved_beta(
    alpha: np.ndarray, beta: np.ndarray, moved: np.ndarray, prior_weight: float, highest: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Beta counts (N,) whose mean has moved by `moved` (N,) log odds, within MIN_SHARE and MAX_SHARE, and
    upwards to `highest` (N,) at most.

    The counts beyond `prior_weight` shrink by exp(-|moved|): evidence from another context is weak, so that
    the readings of this one decide soon.
    """
    total, share = alpha + beta, alpha / (alpha + beta)
    new = 1 / (1 + (1 - share) / share * np.exp(-moved))
    new = np.where(moved > 0, np.minimum(new, np.maximum(share, np.minimum(MAX_SHARE, highest))), new)
    new = np.where(moved < 0, np.maximum(new, np.minimum(share, MIN_SHARE)), new)
    weight = prior_weight + (total - prior_weight) * np.exp(-np.abs(moved))
    is_moved = moved != 0
    return np.where(is_moved, weight * new, alpha), np.where(is_moved, weight * (1 - new), beta)


def moved_scale(
    scale_a: np.ndarray, scale_b: np.ndarray, moved: np.ndarray, prior_weight: float
) -> tuple[np.ndarray, np.ndarray]:
    """Inverse gamma counts (N,) where a source leaves a context in which it was worse: noise beyond its
    normal shrinks by exp(-moved).
    """
    keep = np.exp(-np.maximum(moved, 0.0))
    weight = prior_weight + (scale_a - prior_weight) * keep
    scale = 1 + (np.maximum(scale_b / scale_a, 1.0) - 1) * keep
    is_moved = moved > 0
    return np.where(is_moved, weight, scale_a), np.where(is_moved, weight * scale, scale_b)
