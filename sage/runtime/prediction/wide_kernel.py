"""The wide skip's arithmetic by channel, compiled; documented in `wide_skip`.

Invariant: the same operations in the same order as `WideSkip` without a compiler. Products with the
covariance and the weights are left to numpy's BLAS.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls
from __future__ import annotations

import numpy as np

from sage.compiled import kernel
from sage.runtime.prediction import gate_kernel

_gate_learn, _gate_share, _gate_confidence = gate_kernel.learn, gate_kernel.share, gate_kernel.confidence


@kernel
def track(square, count, channels, values, memory):
    """Running mean square of `values` (k,), over all at first, then over the last `memory`."""
    for row, channel in enumerate(channels):
        count[channel] += 1.0
        value = values[row]
        square[channel] += (value * value - square[channel]) / np.minimum(count[channel], memory)


@kernel
def prepare(
    channels,
    residual,
    change,
    proposal,
    sums,
    recent,
    rules,
    change_square,
    num_changes,
    residual_square,
    memory,
    bound,
    known,
    target,
):
    """Teach the gate and track the changes; known, target: (C,) the channels with a scale and their residual
    in it. Returns how many.
    """
    for row, channel in enumerate(channels):
        _gate_learn(sums, recent, rules, channel, residual[row], proposal[channel])
    track(change_square, num_changes, channels, change, memory)
    num_known = 0
    for row, channel in enumerate(channels):
        scale = np.sqrt(residual_square[channel])
        if scale > 0:
            known[num_known] = channel
            target[num_known] = np.minimum(np.maximum(residual[row] / scale, -bound), bound)
            num_known += 1
    return num_known


@kernel
def look(deltas, levels, witnesses, change_square, bound, seen):
    """seen: (2, W) the witnesses' last changes and levels, within `bound`."""
    for row, channel in enumerate(witnesses):
        unit = np.sqrt(change_square[channel])
        delta = deltas[channel] / unit if unit > 0 else 0.0
        seen[0, row] = np.minimum(np.maximum(delta, -bound), bound)
        seen[1, row] = np.minimum(np.maximum(levels[channel], -bound), bound)


@kernel
def propose(predicted, residual_square, most, proposal):
    """proposal: (C,) `predicted` (C,) in raw units, within `most` deviations."""
    for channel in range(len(predicted)):
        unit = np.sqrt(residual_square[channel])
        bound = most * unit
        proposal[channel] = np.minimum(np.maximum(predicted[channel] * unit, -bound), bound)


@kernel
def step(
    channels, target, predicted, direction, power, doubt, most_variance, most, num_learned, num_targets,
    weights, covariance,
):  # fmt: skip
    """One step of recursive least squares: weights (F, C) of `channels`, covariance (F, F).

    target, predicted: (k,).  direction: (F,) covariance times features.  power: features times direction.
    doubt: what returns to each variance below most_variance.
    """
    num_learned[0] += 1.0
    gained = np.empty(len(channels))
    for row, channel in enumerate(channels):
        lag = num_learned[0] / np.maximum(num_targets[channel], 1.0)
        catch_up = np.minimum(np.maximum(lag, 1.0), most)
        gained[row] = (target[row] - predicted[row]) * catch_up / (1.0 + catch_up * power)
    shrunk = direction / (1.0 + power)
    for feature in range(len(direction)):
        for row, channel in enumerate(channels):
            weights[feature, channel] += direction[feature] * gained[row]
        for other in range(len(direction)):
            covariance[feature, other] -= direction[feature] * shrunk[other]
        if covariance[feature, feature] < most_variance:
            covariance[feature, feature] += doubt
