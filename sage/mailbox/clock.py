"""Time, injected. One clock stamps readings, judges deadlines and paces the loop.

`now_ns` is monotonic and never wall time, so that a stepped system clock moves nothing; a session
stores one pair (monotonic, wall) to translate for people.
"""

from __future__ import annotations

import time
from typing import Protocol, runtime_checkable

from sage.errors import InputError


@runtime_checkable
class Clock(Protocol):
    """What every floor takes instead of calling `time`: nanoseconds, monotonic."""

    def now_ns(self) -> int:
        """Nanoseconds since an arbitrary origin; never decreases."""
        ...

    def wait_until(self, deadline_ns: int) -> None:
        """Return once `now_ns() >= deadline_ns`; at once if that is already so."""
        ...


class RealClock:
    """CLOCK_MONOTONIC, which all processes of a Linux host share."""

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def wait_until(self, deadline_ns: int) -> None:
        remaining_ns = deadline_ns - time.monotonic_ns()
        if remaining_ns > 0:
            time.sleep(remaining_ns * 1e-9)


class ManualClock:
    """A clock that moves only when told: tests, replays with `--fast`, equal digests.

    Waiting for a deadline jumps to it, so a loop on this clock runs as fast as it computes.
    """

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        return self._now_ns

    def advance(self, duration_ns: int) -> None:
        """Move forward by `duration_ns` (>= 0; InputError otherwise)."""
        if duration_ns < 0:
            raise InputError(f"duration_ns is {duration_ns}: a clock never goes back, give 0 or more")
        self._now_ns += duration_ns

    def wait_until(self, deadline_ns: int) -> None:
        self._now_ns = max(self._now_ns, deadline_ns)
