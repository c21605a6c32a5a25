"""The offset of two clocks: the quickest trip counts, until a trip contradicts it."""

from __future__ import annotations

import pytest

from sage.sensors.remote.clock_offset import ClockOffset

SECOND_NS = 10**9


def note(offset: ClockOffset, at_ns: int, ahead_ns: int, round_ns: int, *, late_ns: int = 0) -> None:
    """A trip that begins at `at_ns`; the other clock is ahead by `ahead_ns`, and answers late."""
    offset.note(at_ns, at_ns + round_ns // 2 + late_ns + ahead_ns, at_ns + round_ns)


def test_the_quickest_trip_counts() -> None:
    offset = ClockOffset()
    note(offset, 0, 7 * SECOND_NS, 200_000)
    note(offset, SECOND_NS, 7 * SECOND_NS, 50_000_000, late_ns=20_000_000)
    assert offset.local(7 * SECOND_NS) == 0
    assert offset.error_ns == 100_000


@pytest.mark.parametrize("ahead_ns", [0, 20_000 * SECOND_NS])
def test_a_clock_that_began_again_or_was_set_counts_from_its_first_trip(ahead_ns: int) -> None:
    offset = ClockOffset()
    for index in range(16):
        note(offset, index * SECOND_NS, 10_000 * SECOND_NS, 200_000)
    note(offset, 16 * SECOND_NS, ahead_ns, 400_000)
    assert abs(offset.local(16 * SECOND_NS + ahead_ns) - 16 * SECOND_NS) <= 200_000
    assert offset.error_ns == 200_000
