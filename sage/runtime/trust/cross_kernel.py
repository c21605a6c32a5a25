"""The leave-one-out Gaussian's arithmetic by channel, compiled; documented in `cross`.

Invariant: the same operations in the same order as `CrossPredictor` without a compiler. Products with the
gains and sums over a source's channels are left to numpy.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls
from __future__ import annotations

import numpy as np

from sage.compiled import kernel


@kernel
def learn(z, trust, present, source, forgetting, weighted, total, weight):
    """Add the outer product of the weighted readings to the moments `total` (C, C) and `weight` (C,)."""
    for channel in range(len(z)):
        own = trust[source[channel]] if present[source[channel]] else 0.0
        weighted[channel] = np.sqrt(own) * z[channel]
        weight[channel] = weight[channel] * forgetting + own
    for row in range(len(z)):
        for column in range(len(z)):
            total[row, column] = total[row, column] * forgetting + weighted[row] * weighted[column]


@kernel
def begin(z, trust, present, source, reach, prior, bounded, used):
    """prior: (N,) weights relative to the most trusted source.  bounded: (C,) readings within their reach."""
    top = 0.0
    for index in range(len(trust)):
        if present[index]:
            top = np.maximum(top, trust[index])
    top = np.maximum(top, 1e-9)
    for index in range(len(trust)):
        share = trust[index] / top
        prior[index] = share * share if present[index] else 0.0
    for channel in range(len(z)):
        bounded[channel] = np.minimum(np.maximum(z[channel], -reach[channel]), reach[channel])
        used[channel] = prior[source[channel]] * bounded[channel]


@kernel
def reweigh(sums, sizes, noise, prior, source, dof, bounded, estimate, belief, used):
    """used: (C,) each reading, or in part its estimate, by the Student-t weight of its source.

    sums: (N,) squared innovations.  belief: (N,) work array.
    """
    top = -np.inf
    for index in range(len(sums)):
        ratio = 0.0
        if noise[index] > 0:
            ratio = sums[index] / sizes[index] / np.maximum(noise[index], 1e-12)
        belief[index] = prior[index] / (dof + np.maximum(ratio, 1.0))
        top = np.maximum(top, belief[index])
    top = np.maximum(top, 1e-12)
    for channel in range(len(used)):
        weight = belief[source[channel]] / top
        used[channel] = weight * bounded[channel] + (1 - weight) * estimate[channel]
