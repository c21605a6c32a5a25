"""Which level's rows get the next segment: deadline first, then expected gain, with a floor on waiting.

The expected gain of a puzzle is the rise of its confidence in its last segment times the reward at stake. A
puzzle without a segment counts as a rise of 1. The gain of a batch is the mean of its rows: a segment costs
as much for each of them. Invariant: a level with puzzles under way gets a segment at least once in
3 N choices, for N such levels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: A puzzle whose confidence does not rise still has a chance of this size.
LEAST_RISE = 0.01
FRESH_RISE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One level that could compute a segment now.

    deadline_ns: of its most urgent puzzle, None without one.  gain: expected, for each row's segment.
    num_waited: choices since it was last chosen.
    """

    deadline_ns: int | None
    gain: float
    num_waited: int


def rise_of(confidences: Sequence[float]) -> float:
    """The rise in the last segment of one puzzle; confidences: after each of its segments, 0..1."""
    if not confidences:
        return FRESH_RISE
    before = confidences[-2] if len(confidences) > 1 else 0.0
    rise = confidences[-1] - before
    return max(rise, LEAST_RISE) if math.isfinite(rise) else LEAST_RISE


def choose(claims: Sequence[Claim]) -> int:
    """The index of the level whose rows get the next segment. claims: at least one."""
    longest = 2 * len(claims)
    overdue = [index for index, claim in enumerate(claims) if claim.num_waited >= longest]
    if overdue:
        return max(overdue, key=lambda index: claims[index].num_waited)
    urgent = [
        (claim.deadline_ns, index) for index, claim in enumerate(claims) if claim.deadline_ns is not None
    ]
    if urgent:
        return min(urgent)[1]
    return max(range(len(claims)), key=lambda index: (claims[index].gain, claims[index].num_waited, -index))
