"""The weights of salience, learned from which memories were of use.

Logistic regression of "was of use" on the five scores, shrunk towards equal weights: with few or
contradictory examples the weights stay equal. Invariant: learned weights are finite, 0 or more, and sum to 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sage.memory.salience import SCORES, STEEPNESS
from sage.memory.stores.usefulness import Usefulness

#: Entries that were judged; with fewer nothing is learned.
MIN_EXAMPLES = 64
#: The prior counts like about this many judged entries.
SHRINKAGE = 32.0
#: More judgements of one entry count no more: they are not independent.
MAX_JUDGED = 8
NUM_STEPS = 25


@dataclass(frozen=True, slots=True)
class LearnedWeights:
    """weights: (5,) in the order of SCORES.  num_examples: entries that were judged.  useful_share: 0..1."""

    weights: np.ndarray
    num_examples: int
    useful_share: float

    def __str__(self) -> str:
        named = ", ".join(f"{name} {weight:.2f}" for name, weight in zip(SCORES, self.weights.tolist()))
        return f"{named}; from {self.num_examples} memories, {self.useful_share:.0%} of their reads of use"


def learn_weights(usefulness: Usefulness) -> LearnedWeights | None:
    """The weights from all entries judged so far; None with fewer than MIN_EXAMPLES or with one outcome only.

    An undefined score counts as one of middle rank.
    """
    judged = np.flatnonzero((usefulness.num_judged > 0) & np.isfinite(usefulness.scores).any(axis=1))
    if len(judged) < MIN_EXAMPLES:
        return None
    share = usefulness.num_useful[judged] / usefulness.num_judged[judged]  # (n,)
    if share.min() == share.max():
        return None
    counts = np.minimum(usefulness.num_judged[judged], MAX_JUDGED).astype(float)
    counts /= counts.mean()  # n examples in all
    features = np.nan_to_num(usefulness.scores[judged].astype(float) - 0.5, nan=0.0)
    slopes = _regress(features, share, counts)
    positive = np.maximum(slopes, 0.0)
    if not positive.sum() > 0.0:
        return None
    return LearnedWeights(
        weights=positive / positive.sum(),
        num_examples=len(judged),
        useful_share=float(usefulness.num_useful[judged].sum() / usefulness.num_judged[judged].sum()),
    )


def _regress(features: np.ndarray, share: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Slopes of a logistic regression with a free intercept and a Gaussian prior around equal slopes, by
    Newton's method with halved steps. features (n, 5), share (n,) in 0..1, counts (n,) -> (5,)
    """
    num = features.shape[1]
    design = np.hstack([features, np.ones((len(features), 1))])
    prior = np.append(np.full(num, STEEPNESS / num), 0.0)
    precision = np.append(np.full(num, SHRINKAGE / 4.0), 1e-3)  # 1/4: of p (1 - p) at most

    def loss(at: np.ndarray) -> float:
        logits = design.dot(at)
        entropy = counts * (np.logaddexp(0.0, logits) - share * logits)
        return float(entropy.sum() + 0.5 * (precision * (at - prior) ** 2).sum())

    coefficients = prior.copy()
    for _ in range(NUM_STEPS):
        probability = 0.5 + 0.5 * np.tanh(0.5 * design.dot(coefficients))
        gradient = design.T.dot(counts * (probability - share)) + precision * (coefficients - prior)
        weighted = design * (counts * probability * (1.0 - probability))[:, None]
        step = np.linalg.solve(design.T.dot(weighted) + np.diag(precision), gradient)
        size = 1.0
        while loss(coefficients - size * step) > loss(coefficients) and size > 1e-4:
            size *= 0.5
        coefficients = coefficients - size * step
        if np.abs(size * step).max() < 1e-8:
            break
    slopes: np.ndarray = coefficients[:num]
    return slopes
