"""What the choice of sources is worth: an observer that sees K of N sources a tick, by each policy.

Sources are AR(1) processes of variance 1. Between two readings the observer predicts their decay; its error
is what a tick's prediction is wrong by. Of 64 sources 8 are faulty: white noise, which surprises most and is
worth nothing; their trust is 0.1, as the estimator gives such a source, that of the others is 0.9.
"""

from __future__ import annotations

import numpy as np

from sage.runtime.config import AttentionConfig
from sage.runtime.scheduling.attention import Attention
from sage.runtime.scheduling.value import ErrorGrowth, cost_of_waiting

POLICIES = ("whittle", "top_k", "deficit", "round_robin", "random", "surprise")
NUM_SOURCES, NUM_FAULTY, TOP_K = 64, 8, 8
TRUST, DISTRUST = 0.9, 0.1
NUM_WARM = 200


def error_of(policy: str, num_ticks: int, seed: int) -> float:
    """Mean squared error over the healthy sources and the ticks after the first 200; 1 is no observation."""
    generator = np.random.default_rng(seed)
    keep = np.exp(-1 / np.geomspace(2, 400, NUM_SOURCES))
    keep[generator.permutation(NUM_SOURCES)[:NUM_FAULTY]] = 0.0
    is_healthy = keep > 0
    trust = np.where(is_healthy, TRUST, DISTRUST)
    attention = Attention(NUM_SOURCES, AttentionConfig(top_k=TOP_K, policy=policy), seed=seed)
    growth, every = ErrorGrowth(NUM_SOURCES), np.ones(NUM_SOURCES, dtype=bool)
    state, estimate, salience = (
        generator.normal(size=NUM_SOURCES),
        np.zeros(NUM_SOURCES),
        np.zeros(NUM_SOURCES),
    )
    total = 0.0
    for tick in range(num_ticks):
        state = keep * state + np.sqrt(1 - keep**2) * generator.normal(size=NUM_SOURCES)
        estimate = keep * estimate
        interval = attention.waited + 1
        score = (1 + salience) * (
            cost_of_waiting(growth.rate, trust, interval) if policy == "whittle" else trust
        )
        chosen = attention.choose(score, every, value=growth.value)
        square = (state - estimate) ** 2
        growth.note(np.where(chosen, square, np.nan), interval, chosen)
        salience = np.where(chosen, square / (1 + square), salience)
        if tick >= NUM_WARM:
            total += float(square[is_healthy & ~chosen].sum()) / int(is_healthy.sum())
        estimate = np.where(chosen, state, estimate)
    return total / (num_ticks - NUM_WARM)
