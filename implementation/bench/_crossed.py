"""Intervals of paired differences where every seed of training has the same units: puzzles, blocks of time.

Two things vary, which puzzles there are and how a training with another seed would end, so both are drawn
with replacement (the pigeonhole bootstrap, Owen 2007). An interval over puzzles alone is that of these
trainings, and says nothing of the next one.
"""

from __future__ import annotations

import math

import numpy as np

NUM_DRAWS = 4000
INTERVAL = (0.025, 0.975)


def crossed_interval(gaps: np.ndarray, *, num_draws: int = NUM_DRAWS) -> tuple[float, float, float]:
    """Mean and 95% interval of gaps (S, N): a row a seed, a column a unit, NaN where a seed lacks the unit.
    With one seed the interval is over units alone. NaN for fewer than two units.
    """
    is_there = np.isfinite(gaps)
    num_seeds, num_units = gaps.shape
    if num_units < 2 or not is_there.any():
        return math.nan, math.nan, math.nan
    known = np.where(is_there, gaps, 0.0)
    generator = np.random.default_rng(0)
    seeds = generator.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), num_draws)  # (draws, S)
    units = generator.multinomial(num_units, np.full(num_units, 1 / num_units), num_draws)  # (draws, N)
    sums = (seeds.dot(known) * units).sum(axis=1)
    counts = (seeds.dot(is_there) * units).sum(axis=1)
    drawn = sums[counts > 0] / counts[counts > 0]
    low, high = np.quantile(drawn, INTERVAL)
    return float(known.sum() / is_there.sum()), float(low), float(high)
