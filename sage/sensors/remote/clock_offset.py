"""The offset between two hosts' clocks, from round trips (Cristian's method, the quickest trip counts)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

WINDOW = 16


@dataclass(frozen=True, slots=True)
class _Trip:
    offset_ns: int
    round_ns: int


class ClockOffset:
    """remote clock - local clock. The error is at most half of the quickest round trip in the window, plus
    the drift of both clocks over it. A trip that contradicts the quickest one ends the window: the other
    host's clock was set, or began again when that host was restarted.
    """

    def __init__(self) -> None:
        self._trips: deque[_Trip] = deque(maxlen=WINDOW)

    def note(self, sent_ns: int, remote_ns: int, received_ns: int) -> None:
        """One round trip: sent and received on the local clock, answered at `remote_ns` on the other."""
        trip = _Trip(remote_ns - (sent_ns + received_ns) // 2, received_ns - sent_ns)
        if self._trips:
            best = self._best
            if abs(trip.offset_ns - best.offset_ns) > trip.round_ns + best.round_ns:
                self._trips.clear()
        self._trips.append(trip)

    @property
    def is_known(self) -> bool:
        return bool(self._trips)

    @property
    def error_ns(self) -> int:
        """Half of the quickest round trip; 0 before the first."""
        return min((trip.round_ns for trip in self._trips), default=0) // 2

    def local(self, remote_ns: int) -> int:
        """A time of the remote clock on the local one."""
        return remote_ns - self._best.offset_ns

    @property
    def _best(self) -> _Trip:
        return min(self._trips, key=lambda trip: trip.round_ns)
