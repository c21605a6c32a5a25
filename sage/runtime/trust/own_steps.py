"""Tests of one source's readings against its own record, source by source: the only text of these formulas.

Each test has a statistic that is large when something is unusual. Its record is the largest of it in blocks
of readings, and its tail index (Hill 1975) is taken from the largest of these. The severity of a new value is
the logarithm of its ratio to the record over the tail index: under a Pareto tail with these values, the
probability that one more block reaches it is about exp(-severity) over the number of blocks.
It runs compiled where numba is installed and as Python elsewhere, with the same results to rounding. C
channels of N sources; shapes are (C,) or (N,) unless noted.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls
# numba takes the types from the call; annotating twenty arrays would hide the arithmetic.
from __future__ import annotations

import numpy as np

from sage.runtime.trust.own_rules import (
    ALARM,
    BEYOND_RANGE,
    BLOCK,
    COUNT_OFFSET,
    FIRST_COUNT,
    FREQUENT,
    JUMP_DEVIATIONS,
    KEPT,
    LAG,
    MAX_HELD,
    MAX_SEVERITY,
    MAX_TAIL,
    MIN_ALARMED,
    MIN_BLOCKS,
    MIN_BOTH_WAYS,
    MIN_FREEZE,
    MIN_HELD,
    MIN_MOVES,
    MIN_TAIL,
    NUM_BY_CHANNEL,
    RECORD_FORGETTING,
    RELIEF,
    SPAN,
    STEADY_SHARE,
    TOLERANCE,
    USUAL_READINGS,
    WINDOW,
)


def update(
    fresh,
    values,
    low,
    high,
    offsets,
    ring,
    level,
    common_value,
    common_share,
    flags,
    by_channel,
    channel_top,
    channel_block,
    by_source,
    source_top,
    source_block,
    matches,
    alarms,
    counts,
    severity,
    doubt,
):
    """Test the fresh readings and learn from them; every array from `ring` on is updated in place.

    values, low, high: (C,) readings, and the ends of each channel's declared range.  offsets: (N + 1,).
    ring (R, C): the last readings.  level (2, C): running mean and variance.  common_value, common_share
    (V, C): frequent values and their share of all changes.  flags (2, WINDOW, C): large and steady changes.
    by_channel (S, C), by_source (2, N): statistics.  *_top (.., KEPT): the largest blocks, falling.  *_block:
    the largest of the current block.  matches (R, N): readings equal to those of a lag before.  alarms (4,
    C): rises and falls beyond the record in this block, blocks held back, changes.  counts (4, N): readings,
    blocks, moves, current run of repeats.  severity, doubt: (N,).
    """
    for source in range(len(fresh)):
        if fresh[source]:
            first, last = offsets[source], offsets[source + 1]
            severity[source] = _read(
                source, first, last, values, low, high, ring, level, common_value, common_share, flags,
                by_channel, channel_top, channel_block, by_source, source_top, source_block, matches, alarms,
                counts,
            )  # fmt: skip
    is_common = _is_common(severity, counts)
    for source in range(len(fresh)):
        if fresh[source]:
            found = severity[source]
            if is_common and found < BEYOND_RANGE:
                found = 0.0
            sudden = 1.0 - 2.0 ** (-found / ALARM) if found >= ALARM else 0.0
            doubt[source] = max(sudden, RELIEF * doubt[source])


def known_doubt(counts, has_range, doubt, out):
    """out: (N,) the doubt, NaN where too little was tested. has_range: (N,) bool, a range is declared."""
    for source in range(len(out)):
        is_tested = has_range[source] or counts[2, source] >= MIN_MOVES
        is_known = counts[1, source] >= MIN_BLOCKS and is_tested
        out[source] = doubt[source] if is_known or doubt[source] > 0 else np.nan


def _is_common(severity, counts):
    """Whether most sources have readings beyond their record at once: then the world has changed."""
    num_tested, num_alarmed = 0, 0
    for source in range(len(severity)):
        if counts[1, source] >= MIN_BLOCKS:
            num_tested += 1
            num_alarmed += severity[source] >= ALARM
    return num_alarmed >= MIN_ALARMED and 2 * num_alarmed > num_tested


def _read(
    source, first, last, values, low, high, ring, level, common_value, common_share, flags,
    by_channel, channel_top, channel_block, by_source, source_top, source_block, matches, alarms, counts,
):  # fmt: skip
    """The severity of a source's new reading, which is learned."""
    count = counts[0, source]
    is_beyond, has_moved, is_rare = False, False, False
    for channel in range(first, last):
        value = values[channel]
        slack = TOLERANCE * max(abs(value), 1.0)
        is_beyond |= value < low[channel] - slack or value > high[channel] + slack
        is_new = count == 0 or value != ring[(count - 1) % len(ring), channel]
        has_moved |= is_new and count > 0
        alarms[3, channel] += is_new
        is_frequent = _count_value(channel, value, is_new, alarms[3, channel], common_value, common_share)
        is_rare |= not (
            is_frequent or abs(value - low[channel]) <= slack or abs(value - high[channel]) <= slack
        )
        _measure(channel, value, count, ring, level, flags, by_channel)
    found = BEYOND_RANGE if is_beyond else 0.0
    ended = _count_repeats(source, first, last, has_moved, is_rare, ring, matches, counts, by_source)
    if count >= LAG + SPAN:
        for channel in range(first, last):
            for test in range(NUM_BY_CHANNEL):
                value = by_channel[test, channel]
                offset = 0.0 if test < FIRST_COUNT else COUNT_OFFSET
                if counts[1, source] >= MIN_BLOCKS:
                    reached = _severity(value, channel_top[test, channel], offset)
                    found = max(found, reached)
                    if test < 2:
                        alarms[test, channel] += reached >= ALARM
                channel_block[test, channel] = max(channel_block[test, channel], value)
        if counts[1, source] >= MIN_BLOCKS:
            if counts[3, source] > MIN_FREEZE and counts[2, source] >= MIN_MOVES:
                found = max(found, _severity(by_source[0, source], source_top[0, source], COUNT_OFFSET))
            found = max(found, _severity(by_source[1, source], source_top[1, source], COUNT_OFFSET))
        source_block[0, source] = max(source_block[0, source], ended)  # a run that ended was healthy
        source_block[1, source] = max(source_block[1, source], by_source[1, source])
        if (count - LAG - SPAN) % BLOCK == BLOCK - 1:
            _end_block(
                source, first, last, channel_top, channel_block, source_top, source_block, alarms, counts
            )
    counts[0, source] = count + 1
    return found


def _count_value(channel, value, is_new, num_new, common_value, common_share):
    """Count a value among the channel's most frequent ones (Misra and Gries 1982); whether it is frequent.

    Only values that differ from the one before are counted: a source that stands still makes none frequent.
    """
    weight = max(1 / num_new, 1 / USUAL_READINGS)
    found, least = -1, 0
    for row in range(len(common_value)):
        if common_value[row, channel] == value:
            found = row
        if is_new:
            common_share[row, channel] *= 1 - weight
        if common_share[row, channel] < common_share[least, channel]:
            least = row
    if not is_new:
        return found >= 0 and common_share[found, channel] > FREQUENT
    if found >= 0:
        common_share[found, channel] += weight
        return common_share[found, channel] > FREQUENT
    if common_share[least, channel] < 1.5 * weight:
        common_value[least, channel] = value
        common_share[least, channel] = weight
        return False
    for row in range(len(common_value)):
        spent = weight / (len(common_value) + 1)
        common_share[row, channel] = max(common_share[row, channel] - spent, 0.0)
    return False


def _measure(channel, value, count, ring, level, flags, by_channel):
    """Write the channel's reading into the ring, and its statistics into `by_channel`."""
    size = len(ring)
    before = ring[(count - 1) % size, channel]
    change = value - before if count > 0 else 0.0
    change_before = before - ring[(count - 2) % size, channel] if count > 1 else 0.0
    ring[count % size, channel] = value
    deviation = np.sqrt(level[1, channel])
    flags[0, count % WINDOW, channel] = deviation > 0 and abs(change) > JUMP_DEVIATIONS * deviation
    flags[1, count % WINDOW, channel] = (
        change != 0 and count > 1 and abs(change - change_before) < STEADY_SHARE * abs(change)
    )
    rate = max(1 / (count + 1), 1 / USUAL_READINGS)
    off = value - level[0, channel]
    level[0, channel] += rate * off
    level[1, channel] = (1 - rate) * (level[1, channel] + rate * off * off)
    if count < LAG + SPAN:
        return
    low_now, high_now, low_then, high_then = np.inf, -np.inf, np.inf, -np.inf
    for row in range(SPAN):
        now, then = ring[(count - row) % size, channel], ring[(count - LAG - row) % size, channel]
        low_now, high_now = min(low_now, now), max(high_now, now)
        low_then, high_then = min(low_then, then), max(high_then, then)
    num_jumps, num_steady = 0.0, 0.0
    for row in range(WINDOW):
        num_jumps += flags[0, row, channel]
        num_steady += flags[1, row, channel]
    by_channel[0, channel] = max(change, 0.0)
    by_channel[1, channel] = max(-change, 0.0)
    by_channel[2, channel] = max(low_now - low_then, 0.0)
    by_channel[3, channel] = max(high_then - high_now, 0.0)
    by_channel[4, channel] = num_jumps
    by_channel[5, channel] = num_steady


def _count_repeats(source, first, last, has_moved, is_rare, ring, matches, counts, by_source):
    """Runs of equal readings, and of readings equal to those of some lag before, that are not all frequent
    values. Returns the length of the run of equal readings that ended with this one.
    """
    count, size, ended = counts[0, source], len(ring), 0.0
    if count > 0 and not has_moved and is_rare:
        counts[3, source] += 1
    else:
        ended, counts[3, source] = float(counts[3, source]), 0
    counts[2, source] += has_moved and is_rare
    by_source[0, source] = counts[3, source]
    longest, shorter = 0.0, 0.0
    for lag in range(2, min(count, len(matches) - 2) + 1):
        is_equal = True
        for channel in range(first, last):
            is_equal &= ring[count % size, channel] == ring[(count - lag) % size, channel]
        before = matches[lag, source]
        chain = max(before, shorter, matches[lag + 1, source])  # the lag may drift by a reading
        matches[lag, source] = chain + (has_moved and is_rare) if is_equal else 0.0
        longest, shorter = max(longest, matches[lag, source]), before
    by_source[1, source] = longest
    return ended


def _severity(value, top, offset):
    """Of a new value of a statistic, with the largest blocks `top` (KEPT,); 0 for one within the record."""
    if value <= top[0] or (offset == 0.0 and top[MIN_HELD - 1] <= 0.0):
        return 0.0
    held = len(top)
    while offset == 0.0 and top[held - 1] <= 0.0:
        held -= 1
    tail = 0.0
    for row in range(held - 1):
        tail += np.log((top[row] + offset) / (top[held - 1] + offset))
    tail = min(max(tail / (held - 1), MIN_TAIL), MAX_TAIL)
    return min(np.log((value + offset) / (top[0] + offset)) / tail, MAX_SEVERITY)


def _end_block(
    source, first, last, channel_top, channel_block, source_top, source_block, alarms, counts
):  # fmt: skip
    """Insert the current block's largest values into the records."""
    counts[1, source] += 1
    for channel in range(first, last):
        is_noisy = min(alarms[0, channel], alarms[1, channel]) >= MIN_BOTH_WAYS
        alarms[2, channel] = alarms[2, channel] + 1 if is_noisy else 0
        is_held = is_noisy and alarms[2, channel] <= MAX_HELD
        alarms[0, channel], alarms[1, channel] = 0, 0
        for test in range(len(channel_block)):
            if not (is_held and test in (0, 1, FIRST_COUNT)):
                _insert(channel_block[test, channel], channel_top[test, channel])
            channel_block[test, channel] = 0.0
    for test in range(len(source_block)):
        _insert(source_block[test, source], source_top[test, source])
        source_block[test, source] = 0.0


def _insert(value, top):
    """Insert a value into `top`, which keeps its order; old ones fade."""
    for row in range(KEPT):
        top[row] *= RECORD_FORGETTING
    if value <= top[KEPT - 1]:
        return
    row = KEPT - 1
    while row > 0 and top[row - 1] < value:
        top[row] = top[row - 1]
        row -= 1
    top[row] = value


#: What `update` calls, for numba, each after those that it calls.
STEPS = (
    _insert,
    _end_block,
    _severity,
    _count_value,
    _measure,
    _count_repeats,
    _read,
    _is_common,
)
