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
    the drift of both clocks over it.
    """

    def __init__(self) -> None:
        self._trips: deque[_Trip] = deque(maxlen=WINDOW)

    def note(self, sent_ns: int, remote_ns: int, received_ns: int) -> None:
        """One round trip: sent and received on the local clock, answered at `remote_ns` on the other."""
        self._trips.append(_Trip(remote_ns - (sent_ns + received_ns) // 2, received_ns - sent_ns))

    @property
    def is_known(self) -> bool:
        return bool(self._trips)

    @property
    def error_ns(self) -> int:
        """Half of the quickest round trip; 0 before the first."""
        return min((trip.round_ns for trip in self._trips), default=0) // 2

    def local(self, remote_ns: int) -> int:
        """A time of the remote clock on the local one."""
        best = min(self._trips, key=lambda trip: trip.round_ns)
        return remote_ns - best.offset_ns
