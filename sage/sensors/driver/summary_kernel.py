"""Summaries of small readings, and the newest of each source, compiled; `sage.mailbox.record` documents them.

Invariant: the same as `record.summarize` of each reading, to rounding.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls
from __future__ import annotations

import math

import numpy as np

from sage.compiled import kernel
from sage.mailbox.record import MAX_SAMPLE, PROJECTION_SIZE, SATURATED, SUMMARY, projection_of

FLOAT16_MAX = 65504.0


def _columns(num_bytes, *names):
    """Of fields, in a record's row of numbers of `num_bytes`."""
    fields = SUMMARY.fields
    assert fields is not None
    return tuple(int(fields[name][1]) // num_bytes for name in names)


MEAN, STD, LOW, HIGH, FLAGS = _columns(4, "mean", "std", "min", "max", "flags")
PRODUCER, CONFIDENCE = _columns(4, "producer", "confidence")
STAMP, SEQUENCE = _columns(8, "stamp_ns", "sequence")


def signs() -> np.ndarray:
    """(MAX_SAMPLE, PROJECTION_SIZE) of 1 and -1."""
    signs: np.ndarray = np.sign(projection_of(MAX_SAMPLE))
    return signs


@kernel
def summarize(values, ends, signs, floats, words, projected):
    """Write the statistics and flags of each reading into its record; projected: (n, 32), in its unit.

    values: float64, the readings one after another.  ends: (n,) where each one ends.  floats, words: the
    records (n, 64), as float32 and as uint32.
    """
    start = 0
    for row, end in enumerate(ends):
        size = end - start
        mean, low, high = 0.0, values[start], values[start]
        for index in range(start, end):
            mean += values[index]
            low, high = min(low, values[index]), max(high, values[index])
        mean /= size
        variance = 0.0
        for index in range(start, end):
            offset = values[index] - mean
            variance += offset * offset
        floats[row, MEAN] = mean
        floats[row, STD] = math.sqrt(variance / size)
        floats[row, LOW] = low
        floats[row, HIGH] = high
        scale = 1.0 / math.sqrt(PROJECTION_SIZE * size)
        projected[row] = 0.0
        for index in range(start, end):
            value = values[index] * scale
            for column in range(PROJECTION_SIZE):
                projected[row, column] += value * signs[index - start, column]
        for column in range(PROJECTION_SIZE):
            if abs(projected[row, column]) > FLOAT16_MAX:
                projected[row, column] = FLOAT16_MAX if projected[row, column] > 0 else -FLOAT16_MAX
                words[row, FLAGS] |= np.uint32(SATURATED)
        start = end


@kernel
def keep(
    values, ends, quality, floats, words, longs, offsets,
    newest, newest_quality, confidence, captured_ns, sequence, is_new,
):  # fmt: skip
    """Keep each reading as the newest of its producer; quality: (n,) of the readings.

    floats, words, longs: the records, as float32, uint32 and int64.  offsets: (N + 1,) places in `newest`.
    """
    start = 0
    for row, end in enumerate(ends):
        producer = words[row, PRODUCER]
        first = offsets[producer] - start
        for index in range(start, end):
            newest[first + index] = values[index]
        newest_quality[producer], confidence[producer] = quality[row], floats[row, CONFIDENCE]
        captured_ns[producer], sequence[producer] = longs[row, STAMP], longs[row, SEQUENCE]
        is_new[producer] = True
        start = end
