"""The predictor channel by channel, compiled; documented in `predictor`.

Invariant: the same operations in the same order as `Predictor` without a compiler. Sums over a source's
channels are left to numpy, whose order of summation they keep. C channels, N sources.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls
# numba takes the types from the call; annotating twenty arrays would hide the arithmetic.
from __future__ import annotations

import numpy as np

from sage.compiled import kernel
from sage.runtime.prediction import gate_kernel
from sage.runtime.prediction.scale import ROUNDING

#: Rows of a source's sums: squared errors of the prediction, the skip and the last reading, over the
#: variance; channels scored; channels that moved; channels within their range.
ERROR, SKIP_ERROR, PERSISTENCE_ERROR, NUM_SCORED, MOVED, OFF_RAIL, NUM_SUMS = range(7)

_gate_learn = gate_kernel.learn


@kernel
def deviation(count, mean, square, floor):
    """RunningScale.std of one channel."""
    least = np.maximum(floor, ROUNDING * np.abs(mean))
    return np.maximum(np.sqrt(square / np.maximum(count, 1.0)), least)


@kernel
def track_scale(channel, actual, count, mean, square):
    """RunningScale.update of one channel."""
    if np.isfinite(actual):
        count[channel] += 1.0
        before = actual - mean[channel]
        now = mean[channel] + before / count[channel]
        square[channel] += before * (actual - now)
        mean[channel] = now


@kernel
def fill_scores(row, error, residual, change, variance):
    """row: (NUM_SUMS,) of one channel that is scored."""
    row[ERROR] = error * error / variance
    row[SKIP_ERROR] = residual * residual / variance
    row[PERSISTENCE_ERROR] = change * change / variance
    row[NUM_SCORED] = variance / variance


@kernel
def score(
    fresh, values, source_of_channel, min_readings, num_readings,
    last, skip, own_skip, correction, proposal, has_changed, low, high,
    scale_count, scale_mean, scale_square, floor, sums, recent, rules,
    table, channels, given, met, left,
):  # fmt: skip
    """Score the new readings, and learn their scale and the gate's share.

    table: (NUM_SUMS, C), 0 where no reading is new.  channels, given[0], given[1]: (C,) the channels with a
    new reading, the reading and its change.  met, left[0], left[1]: (C,) those of known sources, what the own
    skip left of the change, the change. Returns the numbers of both.
    """
    num_given = num_met = 0
    table[:] = 0.0
    for channel in range(len(values)):
        source = source_of_channel[channel]
        if not fresh[source]:
            continue
        actual, before, known = values[channel], last[channel], num_readings[source]
        change = actual - before
        residual = change - skip[channel]
        track_scale(channel, actual, scale_count, scale_mean, scale_square)
        if change != 0 and known > 0:
            has_changed[channel] = True
        low[channel] = np.minimum(low[channel], actual)
        high[channel] = np.maximum(high[channel], actual)
        std = deviation(scale_count[channel], scale_mean[channel], scale_square[channel], floor)
        if known >= min_readings and has_changed[channel] and std * std > 0:
            fill_scores(table[:, channel], residual - correction[channel], residual, change, std * std)
        table[MOVED, channel] = change != 0
        table[OFF_RAIL, channel] = has_changed[channel] and low[channel] < before and before < high[channel]
        channels[num_given], given[0, num_given], given[1, num_given] = channel, actual, change
        num_given += 1
        if known > 0:
            _gate_learn(sums, recent, rules, channel, residual, proposal[channel])
            met[num_met] = channel
            left[0, num_met], left[1, num_met] = change - own_skip[channel], change
            num_met += 1
    return num_given, num_met


@kernel
def count(fresh, totals, captured_ns, newest_ns, num_readings, means, is_repeat):
    """Each source's scores from the `totals` (NUM_SUMS, N) of its channels, then its reading is counted.

    means: (3, N), NaN where nothing is scored.  newest_ns: (N,) gets captured_ns where fresh.
    """
    for source in range(len(fresh)):
        num_scored = totals[NUM_SCORED, source]
        for row in range(3):
            means[row, source] = totals[row, source] / num_scored if num_scored > 0 else np.nan
        is_still = fresh[source] and num_readings[source] > 0 and totals[MOVED, source] == 0
        is_repeat[source] = is_still and totals[OFF_RAIL, source] > 0
        if fresh[source]:
            newest_ns[source] = captured_ns[source]
            num_readings[source] += 1


@kernel
def store(
    channels,
    given,
    num_before,
    source_of_channel,
    change,
    has_changed,
    scale_count,
    scale_mean,
    scale_square,
    floor,
    last,
    delta,
    own_skip,
    level,
):
    """Keep the new readings; level: (C,) of all channels, in deviations from their mean.

    num_before: (N,) readings of each source before these.  change: (C,) what the own skip predicts next.
    """
    for row, channel in enumerate(channels):
        delta[channel] = given[1, row] if num_before[source_of_channel[channel]] > 0 else 0.0
        last[channel] = given[0, row]
        own_skip[channel] = change[channel]
    for channel in range(len(last)):
        level[channel] = 0.0
        if has_changed[channel]:
            std = deviation(scale_count[channel], scale_mean[channel], scale_square[channel], floor)
            level[channel] = (last[channel] - scale_mean[channel]) / std


@kernel
def standardise(source_of_channel, num_readings, last, delta, skip, mean, std, bound, out):
    """out: (3, C) values, deltas and skip, within `bound`."""
    for channel in range(len(last)):
        value = 0.0
        if num_readings[source_of_channel[channel]] > 0:
            value = (last[channel] - mean[channel]) / std[channel]
        out[0, channel] = np.minimum(np.maximum(value, -bound), bound)
        out[1, channel] = np.minimum(np.maximum(delta[channel] / std[channel], -bound), bound)
        out[2, channel] = np.minimum(np.maximum(skip[channel] / std[channel], -bound), bound)
