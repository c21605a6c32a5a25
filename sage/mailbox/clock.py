"""Time, injected. One clock stamps readings, judges deadlines and paces the loop.

`now_ns` is monotonic, not wall time, so that a step of the system clock has no effect; a session stores one
pair (monotonic, wall) to convert stamps for display.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from sage.errors import InputError


@runtime_checkable
class Clock(Protocol):
    """A monotonic clock in nanoseconds, used instead of the module `time`."""

    def now_ns(self) -> int:
        """Nanoseconds since an arbitrary origin; never decreases."""
        ...

    def wait_until(self, deadline_ns: int) -> None:
        """Return once `now_ns() >= deadline_ns`; immediately if that is already the case."""
        ...


class RealClock:
    """CLOCK_MONOTONIC, which all processes of a Linux host share."""

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def wait_until(self, deadline_ns: int) -> None:
        remaining_ns = deadline_ns - time.monotonic_ns()
        if remaining_ns > 0:
            time.sleep(remaining_ns * 1e-9)


def now_function(clock: Clock) -> Callable[[], int]:
    """`clock.now_ns`, or for a RealClock the function that it calls, which saves one call."""
    return time.monotonic_ns if type(clock) is RealClock else clock.now_ns


class ManualClock:
    """A simulated clock (deterministic), for tests and for replays with `--fast`.

    `wait_until` jumps to the deadline, so a loop on this clock runs as fast as it computes.
    """

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        return self._now_ns

    def advance(self, duration_ns: int) -> None:
        """Move forward by `duration_ns` (>= 0; InputError otherwise)."""
        if duration_ns < 0:
            raise InputError(f"duration_ns is {duration_ns}: give 0 or more, a clock cannot go back")
        self._now_ns += duration_ns

    def wait_until(self, deadline_ns: int) -> None:
        self._now_ns = max(self._now_ns, deadline_ns)
