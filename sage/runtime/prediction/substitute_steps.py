"""What is believed in place of a faulty source's readings, source by source: the only text of these formulas.

It runs compiled where numba is installed and as Python elsewhere, with the same results to rounding. C
channels of N sources; shapes are (C,) or (N,) unless noted.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls
# numba takes the types from the call; annotating twenty arrays would hide the arithmetic.
from __future__ import annotations

import numpy as np

from sage.runtime.prediction.substitute_rules import (
    FIRST_READING,
    FROZEN,
    FROZEN_ODDS,
    GAP_MEMORY,
    LONG_GAP,
    MAX_CREST,
    MAX_FROZEN,
    MAX_REPEATS,
    MAX_STEP,
    MEMORY,
    MIN_JUMP,
    MIN_MOVES,
    MIN_OTHERS,
    MIN_READINGS,
    MIN_RUN,
    MOST_JUMP,
    NONE,
    RECORD_FORGETTING,
    SHARED_JUMP,
    SHARED_TICKS,
    SLOW,
    STEP,
)

#: Rows of `source_state`.  REPEATS: in runs that ended.  STARTED: readings of this run.  GAP: usual ns
#: between readings.  NEWEST: when the newest one was captured.  IS_LATE: the gap before it was longer than
#: usual.
(
    COUNT, REPEATS, RUN, AGE, SINCE_JUMP, SINCE_MOVE, STARTED, GAP, NEWEST, IS_LATE, MOVES, NUM_BY_SOURCE,
) = range(12)  # fmt: skip
#: Rows of `channel_state`.  RECORD: largest innovation.  USUAL: mean square of innovations.  SLOW_MEAN,
#: SLOW_SQUARE: of the level's deviation from its mean, and the mean square of that.  FIRST: the innovation
#: at a step.  CENTRE, SPREAD: mean and variance before it.  SUM: of deviations from the centre since.
#: CROSS_SQUARE: mean square error of the others' estimate.
(
    LAST, RECORD, USUAL, SLOW_MEAN, SLOW_SQUARE, OFFSET, FIRST, CENTRE, SPREAD, SUM, CROSS_SQUARE, NUM_CROSS,
    NUM_BY_CHANNEL,
) = range(13)  # fmt: skip


def read(
    fresh, values, captured_ns, prediction, offsets, num, mean, square, kind, jump, source_state,
    channel_state, believed,
):  # fmt: skip
    """Decide what to believe of the fresh readings; every array from `kind` on is updated in place.

    values, prediction: (C,) readings and what was predicted, raw.  captured_ns: (N,).  num, mean, square:
    (C,) number, mean and sum of squared deviations of the earlier readings that were believed.  kind: NONE,
    STEP or FROZEN.  jump: (N,) the newest innovation over the record.  believed: (C,) gets the reading, less
    the offset after a step; not changed where a source is frozen.
    """
    for source in range(len(fresh)):
        source_state[SINCE_JUMP, source] += 1
        source_state[SINCE_MOVE, source] += 1
        if fresh[source]:
            _note_time(source, captured_ns[source], source_state)
            _meet(
                source, offsets[source], offsets[source + 1], values, prediction, kind, jump, source_state,
                channel_state,
            )  # fmt: skip
    for source in range(len(fresh)):
        if not fresh[source]:
            continue
        first, last = offsets[source], offsets[source + 1]
        if kind[source] == FROZEN:
            _go_on_frozen(source, kind, source_state)
        elif kind[source] == STEP:
            _go_on_step(source, first, last, values, prediction, kind, jump, source_state, channel_state)
        else:
            _begin(
                source, first, last, values, prediction, num, mean, square, kind, jump, source_state,
                channel_state,
            )  # fmt: skip
        if kind[source] == NONE:
            _learn(source, first, last, values, prediction, mean, source_state, channel_state)
        for channel in range(first, last):
            if kind[source] != FROZEN:
                believed[channel] = values[channel] - channel_state[OFFSET, channel]
            channel_state[LAST, channel] = values[channel]
        source_state[COUNT, source] += 1


def _note_time(source, captured_ns, source_state):
    """Whether the reading came late."""
    gap = captured_ns - source_state[NEWEST, source]
    source_state[NEWEST, source] = captured_ns
    source_state[STARTED, source] += 1
    is_usual = gap <= LONG_GAP * source_state[GAP, source]
    source_state[IS_LATE, source] = not is_usual
    if source_state[STARTED, source] > 1:
        rate = 1.0 if source_state[GAP, source] == 0 else 1.0 / GAP_MEMORY
        source_state[GAP, source] += rate * (gap - source_state[GAP, source])


def _meet(source, first, last, values, prediction, kind, jump, source_state, channel_state):
    """Count repeats, and compare the innovation with its record."""
    moved, total, num = False, 0.0, 0
    for channel in range(first, last):
        moved |= values[channel] != channel_state[LAST, channel]
        record = channel_state[RECORD, channel]
        if record > 0:
            off = values[channel] - channel_state[OFFSET, channel] - prediction[channel]
            total += min(abs(off) / record, MOST_JUMP) ** 2
            num += 1
    jump[source] = np.sqrt(total / num) if num > 0 else 0.0
    if moved:
        source_state[REPEATS, source] += source_state[RUN, source]
        source_state[RUN, source] = 0.0
        source_state[SINCE_MOVE, source] = 0.0
        source_state[MOVES, source] += 1.0
    else:
        source_state[RUN, source] += 1.0
    if source_state[COUNT, source] >= MIN_READINGS and jump[source] >= SHARED_JUMP and kind[source] == NONE:
        source_state[SINCE_JUMP, source] = 0.0


def _is_alone(source, row, kind, source_state):
    """Whether enough other sources have a record, and none of them (row SINCE_JUMP) or most of them (row
    SINCE_MOVE) did within the last ticks what `row` counts.
    """
    num, num_lately = 0, 0
    for other in range(len(kind)):
        is_tested = source_state[COUNT, other] >= MIN_READINGS and source_state[MOVES, other] >= MIN_MOVES
        if other != source and is_tested:
            num += 1
            num_lately += source_state[row, other] < SHARED_TICKS
    if num < MIN_OTHERS:
        return False
    return num_lately == 0 if row == SINCE_JUMP else 2 * num_lately > num


def _begin(
    source, first, last, values, prediction, num, mean, square, kind, jump, source_state, channel_state
):  # fmt: skip
    """Whether a fault begins with this reading."""
    count, run = source_state[COUNT, source], source_state[RUN, source]
    if count < MIN_READINGS or source_state[STARTED, source] < FIRST_READING or source_state[IS_LATE, source]:
        return
    is_odd = jump[source] >= MIN_JUMP and _has_level(
        first, last, values, prediction, num, square, channel_state
    )
    if is_odd and _is_alone(source, SINCE_JUMP, kind, source_state):
        kind[source] = STEP
        for channel in range(first, last):
            off = values[channel] - prediction[channel]
            if channel_state[RECORD, channel] <= 0:
                off = 0.0
            channel_state[OFFSET, channel] = channel_state[FIRST, channel] = off
            channel_state[SUM, channel] = 0.0
    elif MIN_RUN <= run < MAX_FROZEN and source_state[MOVES, source] >= MIN_MOVES:
        repeats = source_state[REPEATS, source]
        share = (1.0 + repeats) / (4.0 + repeats + source_state[MOVES, source])
        is_rare = share < MAX_REPEATS and share**run < FROZEN_ODDS
        if is_rare and _is_alone(source, SINCE_MOVE, kind, source_state):
            kind[source] = FROZEN
    if kind[source] != NONE:
        source_state[AGE, source] = 0.0
        for channel in range(first, last):
            channel_state[CENTRE, channel] = mean[channel]
            channel_state[SPREAD, channel] = square[channel] / max(num[channel], 1.0)


def _has_level(first, last, values, prediction, num, square, channel_state):
    """Whether every channel beyond its record has light-tailed innovations and a level that it returns to:
    elsewhere jumps are usual, or last.
    """
    for channel in range(first, last):
        record = channel_state[RECORD, channel]
        if abs(values[channel] - prediction[channel]) > record > 0:
            is_heavy = record > MAX_CREST * np.sqrt(channel_state[USUAL, channel])
            variance = square[channel] / max(num[channel], 1.0)
            if is_heavy or correlation_time(channel, variance, channel_state) > SLOW:
                return False
    return True


def _go_on_frozen(source, kind, source_state):
    """The source moves again, or has stood still for so long that it is believed."""
    source_state[AGE, source] += 1
    if source_state[RUN, source] == 0 or source_state[AGE, source] >= MAX_FROZEN:
        kind[source] = NONE


def _go_on_step(source, first, last, values, prediction, kind, jump, source_state, channel_state):
    """Refine the offset of a source, or end it: the level of before is back, others jump as well, a second
    jump, or the offset has lasted for so long that it is believed.
    """
    source_state[AGE, source] += 1
    age, with_offset, without = source_state[AGE, source], 0.0, 0.0
    for channel in range(first, last):
        usual = channel_state[USUAL, channel]
        if usual > 0 and channel_state[FIRST, channel] != 0:
            off = values[channel] - prediction[channel]
            without += off * off / usual
            off -= channel_state[OFFSET, channel]
            with_offset += off * off / usual
    is_shared = age <= SHARED_TICKS and not _is_alone(source, SINCE_JUMP, kind, source_state)
    if without < with_offset or is_shared or jump[source] >= MIN_JUMP or age > MAX_STEP:
        kind[source] = NONE
        for channel in range(first, last):
            jumped = abs(channel_state[FIRST, channel])
            channel_state[RECORD, channel] = max(channel_state[RECORD, channel], jumped)
            channel_state[OFFSET, channel] = channel_state[FIRST, channel] = 0.0
        return
    for channel in range(first, last):
        if channel_state[FIRST, channel] != 0:
            channel_state[SUM, channel] += values[channel] - channel_state[CENTRE, channel]
            spread = channel_state[SPREAD, channel]
            level_error = spread * min(1.0, correlation_time(channel, spread, channel_state) / age)
            usual = channel_state[USUAL, channel]
            share = usual / max(usual + level_error, 1e-300)
            by_level = channel_state[SUM, channel] / age
            first_seen = channel_state[FIRST, channel]
            channel_state[OFFSET, channel] = first_seen + share * (by_level - first_seen)


def correlation_time(channel, variance, channel_state):
    """Readings that make one independent reading of the level, at least 1: the slow mean of independent
    readings has 1 / (2 SLOW - 1) of their variance.
    """
    return max((2.0 * SLOW - 1.0) * channel_state[SLOW_SQUARE, channel] / max(variance, 1e-300), 1.0)


def _learn(source, first, last, values, prediction, mean, source_state, channel_state):
    """Learn the usual innovation, its record and the slow mean from a reading that is believed; not where the
    prediction has no recent readings to rest on: at the begin of a run, and after a gap.
    """
    count = source_state[COUNT, source]
    if source_state[STARTED, source] <= FIRST_READING or source_state[IS_LATE, source]:
        return
    rate = max(1.0 / max(count - FIRST_READING + 1.0, 1.0), 1.0 / MEMORY)
    for channel in range(first, last):
        off = values[channel] - prediction[channel]
        record = RECORD_FORGETTING * channel_state[RECORD, channel]
        channel_state[RECORD, channel] = max(record, abs(off))
        channel_state[USUAL, channel] += rate * (off * off - channel_state[USUAL, channel])
        level = values[channel] - mean[channel]
        slow = channel_state[SLOW_MEAN, channel]
        slow += (level - slow) / SLOW
        channel_state[SLOW_MEAN, channel] = slow
        channel_state[SLOW_SQUARE, channel] += rate * (slow * slow - channel_state[SLOW_SQUARE, channel])


def compare(fresh, estimate, is_defined, offsets, kind, source_state, channel_state, believed):
    """Learn how far the others' `estimate` (C,), raw, is from the readings; believed: (C,) gets, where a
    source is frozen, the combination of that estimate and the way back to the mean, by their variances.

    is_defined: (N,) bool.
    """
    for source in range(len(fresh)):
        if not fresh[source] and kind[source] != FROZEN:
            continue
        for channel in range(offsets[source], offsets[source + 1]):
            state = channel_state[:, channel]
            if kind[source] == NONE and is_defined[source]:
                off = state[LAST] - estimate[channel]
                state[NUM_CROSS] += 1.0
                rate = max(1.0 / state[NUM_CROSS], 1.0 / MEMORY)
                state[CROSS_SQUARE] += rate * (off * off - state[CROSS_SQUARE])
            elif kind[source] == FROZEN:
                time = correlation_time(channel, state[SPREAD], channel_state)
                kept = ((time - 1.0) / (time + 1.0)) ** (source_state[RUN, source] + 1.0)
                own = state[CENTRE] + kept * (state[LAST] - state[CENTRE])
                own_square = state[SPREAD] * (1.0 - kept * kept)
                share = 0.0
                if is_defined[source] and state[NUM_CROSS] > 0:
                    share = own_square / max(own_square + state[CROSS_SQUARE], 1e-300)
                believed[channel] = own + share * (estimate[channel] - own)


#: What `read` and `compare` call, for numba, each after those that it calls.
STEPS = (
    _note_time,
    _is_alone,
    correlation_time,
    _has_level,
    _meet,
    _begin,
    _go_on_frozen,
    _go_on_step,
    _learn,
)
