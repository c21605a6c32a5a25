"""The linear skip channel by channel, compiled; documented in `linear_skip`.

Invariant: the same as `linear_skip` and `coefficient_filter` to rounding. Arrays as there: K drifts, P
regressors, E experts, channels last.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls
# numba takes the types from the call; annotating twenty arrays would hide the arithmetic.
from __future__ import annotations

import numpy as np

from sage.compiled import kernel
from sage.runtime.prediction import gate_kernel
from sage.runtime.prediction.coefficient_filter import CLIP, MIN_NOISE, NOISE_FORGETTING

RULES = (
    "SCALE_FORGETTING",
    "LOSS_FORGETTING",
    "LOSS_WEIGHT",
    "MAX_LOSS",
    "MAX_DEVIATIONS",
    "MAX_GROWTH",
    "MAX_LEVEL",
    "MIN_SQUARE",
    "WARM_READINGS",
)

_gate_share, _gate_confidence, _gate_learn = gate_kernel.share, gate_kernel.confidence, gate_kernel.learn


@kernel
def observe(
    channels,
    values,
    rules,
    mean_rates,
    count,
    last,
    mean,
    means,
    deltas,
    energy,
    mass,
    regressors,
    experts,
    mixture,
    losses,
    loss_scale,
    scale,
    inverse,
    change,
    weights,
    covariance,
    noise,
    keep,
    leak,
    sums,
    recent,
    gate_rules,
):
    """One reading each of `channels` (k,): score, learn, predict."""
    num_regressors = len(regressors)
    spread = np.empty(num_regressors)
    for row, channel in enumerate(channels):
        value = values[row]
        if count[channel] == 0:
            last[channel] = mean[channel] = value
            for index in range(len(means)):
                means[index, channel] = value
        delta = value - last[channel]
        target = delta * inverse[channel]
        rate = 1.0 / (count[channel] + rules[8])
        _score(channel, target, rate, rules, experts, mixture, losses, loss_scale)
        _gate_learn(sums, recent, gate_rules, channel, delta, mixture[channel] * scale[channel])
        _filter(channel, target, rate, regressors, weights, covariance, noise, keep, leak, spread)
        _store(channel, value, delta, rules, mean_rates, count, last, mean, means, deltas, energy, mass)
        _usual_delta(channel, rules, energy, mass, scale, inverse)
        _predict_next(
            channel, rules, last, mean, means, deltas, inverse, weights, regressors, experts, mixture, losses
        )
        proposal = mixture[channel] * scale[channel]
        reach = _gate_share(sums, recent, gate_rules, channel, proposal * proposal)
        change[channel] = proposal * reach * _gate_confidence(sums, gate_rules, channel)


@kernel
def _square(value):
    return value * value


@kernel
def _score(channel, target, rate, rules, experts, mixture, losses, loss_scale):
    own_scale = loss_scale[channel]
    for expert in range(len(experts)):
        loss = min(_square(target - experts[expert, channel]), rules[3])
        losses[expert, channel] = rules[1] * losses[expert, channel] + rules[2] * loss / own_scale
    own_loss = min(_square(target - mixture[channel]), rules[3])
    loss_scale[channel] = max(own_scale + (own_loss - own_scale) * max(rate, 0.01), 1e-4)


@kernel
def _filter(channel, target, rate, regressors, weights, covariance, noise, keep, leak, spread):
    """One step of each of the K Kalman filters."""
    size = len(regressors)
    for drift in range(len(weights)):
        innovation, variance = target, 0.0
        for p in range(size):
            innovation -= weights[drift, p, channel] * regressors[p, channel]
            spread[p] = 0.0
            for q in range(size):
                spread[p] += covariance[drift, p, q, channel] * regressors[q, channel]
            variance += spread[p] * regressors[p, channel]
        level = noise[drift, channel]
        variance = level + max(variance, 0.0)
        root = np.sqrt(variance)
        step = min(max(innovation, -CLIP * root), CLIP * root) / variance
        for p in range(size):
            weights[drift, p, channel] = (weights[drift, p, channel] + spread[p] * step) * np.sqrt(
                keep[drift, 0]
            )
            spread[p] /= root
        for p in range(size):
            for q in range(size):  # v v' commutes to the bit, so symmetry is exact
                covariance[drift, p, q, channel] = (
                    covariance[drift, p, q, channel] - spread[p] * spread[q]
                ) * keep[drift, 0]
            covariance[drift, p, p, channel] += leak[drift, p]
        energy = min(innovation * innovation, 4.0 * CLIP**2 * level)
        noise[drift, channel] = max(level + (energy - level) * max(rate, 1.0 - NOISE_FORGETTING), MIN_NOISE)


@kernel
def _store(channel, value, delta, rules, mean_rates, count, last, mean, means, deltas, energy, mass):
    moved = 1.0 if count[channel] > 0 else 0.0  # the first reading has no delta
    count[channel] += 1.0
    energy[channel] = rules[0] * energy[channel] + delta * delta
    mass[channel] = rules[0] * mass[channel] + moved
    for lag in range(len(deltas) - 1, 0, -1):
        deltas[lag, channel] = deltas[lag - 1, channel]
    deltas[0, channel] = delta
    own_share = 1.0 / count[channel]
    mean[channel] += (value - mean[channel]) * max(own_share, 1e-4)
    for index in range(len(means)):
        means[index, channel] += (value - means[index, channel]) * max(own_share, mean_rates[index, 0])
    last[channel] = value


@kernel
def _usual_delta(channel, rules, energy, mass, scale, inverse):
    square = energy[channel] / max(mass[channel], 1.0)
    scale[channel] = np.sqrt(square) if square > rules[7] else 0.0
    inverse[channel] = 1.0 / scale[channel] if square > rules[7] else 0.0


@kernel
def _predict_next(
    channel, rules, last, mean, means, deltas, inverse, weights, regressors, experts, mixture, losses
):
    """Regressors, experts and mixture for the reading after this one."""
    num_deltas, num_drifts, own = len(deltas), len(weights), inverse[channel]
    greatest = 0.0
    for lag in range(num_deltas):
        regressors[lag, channel] = deltas[lag, channel] * own
        greatest = max(greatest, abs(regressors[lag, channel]))
    level = (last[channel] - mean[channel]) * own
    regressors[num_deltas, channel] = min(max(level, -rules[6]), rules[6])
    bound = max(rules[4], rules[5] * greatest)
    least = losses[0, channel]
    for expert in range(1, len(losses)):
        least = min(least, losses[expert, channel])
    belief, total = np.exp(least - losses[0, channel]), 0.0  # of persistence, whose change is 0
    for expert in range(1, len(experts)):
        predicted = 0.0
        if expert <= num_drifts:
            for p in range(num_deltas + 1):
                predicted += weights[expert - 1, p, channel] * regressors[p, channel]
        else:
            predicted = (means[expert - 1 - num_drifts, channel] - last[channel]) * own
        experts[expert, channel] = min(max(predicted, -bound), bound)
        own_belief = np.exp(least - losses[expert, channel])
        total += own_belief * experts[expert, channel]
        belief += own_belief
    mixture[channel] = total / belief
