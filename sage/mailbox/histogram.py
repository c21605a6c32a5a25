"""A histogram of durations with fixed buckets, four per doubling: percentiles in constant memory.

Invariant: adding takes two integer operations and allocates nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """Upper edges of buckets (at most 25% above the true value); 0 if count is 0."""

    count: int = 0
    p50_ns: int = 0
    p95_ns: int = 0
    p99_ns: int = 0


class LatencyHistogram:
    """Not thread-safe: the owner adds under its own lock."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts = [0] * 256

    def add(self, duration_ns: int) -> None:
        if duration_ns < 4:
            self._counts[duration_ns if duration_ns > 0 else 0] += 1
            return
        octave = duration_ns.bit_length() - 3
        self._counts[(octave << 2) + (duration_ns >> octave)] += 1  # duration >> octave is 4..7

    def merge(self, counts: Sequence[int]) -> None:
        """Add the 256 buckets of another histogram."""
        self._counts = [mine + theirs for mine, theirs in zip(self._counts, counts)]

    def percentiles(self) -> Percentiles:
        count = sum(self._counts)
        p50_ns, p95_ns, p99_ns = (self._at(count * percent) for percent in (50, 95, 99))
        return Percentiles(count=count, p50_ns=p50_ns, p95_ns=p95_ns, p99_ns=p99_ns)

    def _at(self, hundredths: int) -> int:
        below = 0
        for bucket, count in enumerate(self._counts):
            below += count
            if count and below * 100 >= hundredths:
                return _upper_edge(bucket)
        return 0


def _upper_edge(bucket: int) -> int:
    if bucket < 8:
        return bucket
    octave, quarter = (bucket >> 2) - 1, 4 + (bucket & 3)
    return ((quarter + 1) << octave) - 1
