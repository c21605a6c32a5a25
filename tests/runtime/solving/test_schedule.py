"""Which level gets the next segment."""

from __future__ import annotations

import math

import pytest

from sage.runtime.solving.schedule import FRESH_RISE, LEAST_RISE, Claim, choose, rise_of


def claim(gain: float = 1.0, deadline_ns: int | None = None, num_waited: int = 0) -> Claim:
    return Claim(gain=gain, deadline_ns=deadline_ns, num_waited=num_waited)


def test_the_nearest_deadline_comes_first():
    assert choose([claim(9.0), claim(0.1, 200), claim(0.1, 100)]) == 2


def test_without_deadlines_the_larger_gain_does():
    assert choose([claim(0.1), claim(0.3), claim(0.2)]) == 1


def test_every_level_gets_its_turn():
    waited, turns = [0, 0, 0], [0, 0, 0]
    for _ in range(42):
        index = choose(
            [
                claim(gain, deadline, num)
                for gain, deadline, num in zip((1, 0.5, 0.1), (1, None, None), waited)
            ]
        )
        waited = [0 if other == index else num + 1 for other, num in enumerate(waited)]
        turns[index] += 1
        assert max(waited) < 3 * 3
    assert min(turns) >= 5


@pytest.mark.parametrize(
    ("confidences", "rise"),
    [
        ([], FRESH_RISE),
        ([0.25], 0.25),
        ([0.25, 0.75], 0.5),
        ([0.75, 0.25], LEAST_RISE),
        ([0.5, math.nan], LEAST_RISE),
    ],
)
def test_the_rise_is_of_the_last_segment(confidences, rise):
    assert rise_of(confidences) == pytest.approx(rise)
