"""Ranks of salience, value by value, compiled; documented in `salience`.

Invariant: the same float32 numbers as `Salience` without a compiler: counts are whole, and each rank is one
product.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls
from __future__ import annotations

import numpy as np

from sage.compiled import kernel


@kernel
def rank(columns, reward_error, valid, min_values, past, num_past, scale, ranks):
    """Rank each value among the past ones of its source and score, then store it.

    columns: surprise, novelty, arousal and conflict, (N,) each.  past: (N, 5, W).  num_past: (N * 5,).
    scale, ranks: (N, 5).
    """
    num_sources, num_scores, window = past.shape
    for source in range(num_sources):
        for score in range(num_scores):
            ranks[source, score] = np.nan
            if not valid[source]:
                continue
            if score < 3:
                value = np.float32(columns[score][source])
            elif score == 3:
                value = np.float32(np.abs(reward_error[source]))
            else:
                value = np.float32(columns[3][source])
            if np.isnan(value):
                continue
            values = past[source, score]
            cell = source * num_scores + score
            twice_below = 0
            # Only what is stored: comparing with NaN raises a flag, and numpy warns of it in a later call.
            for index in range(min(num_past[cell], window)):
                twice_below += int(values[index] < value) + int(values[index] <= value)
            ranks[source, score] = np.float32(twice_below) * scale[source, score]
            values[num_past[cell] % window] = value
            num_past[cell] += 1
            if min_values <= num_past[cell] <= window:
                scale[source, score] = np.float32(0.5 / num_past[cell])
