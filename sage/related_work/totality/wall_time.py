"""Unix time: from a clock to text and back. Invariant: text is ISO 8601 in UTC, with microseconds."""

from __future__ import annotations

import math
import time
from datetime import datetime, timedelta, timezone

from sage.errors import InputError
from sage.mailbox.clock import Clock, ManualClock

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class WallClock:
    """Unix time in ns. Follows the system clock at its start, and is monotonic from then on."""

    def __init__(self, clock: Clock) -> None:
        """A simulated clock is taken as unix time itself, so that equal runs give equal times."""
        self._clock = clock
        self._offset_ns = 0 if isinstance(clock, ManualClock) else time.time_ns() - clock.now_ns()

    def now_ns(self) -> int:
        return self._clock.now_ns() + self._offset_ns


def to_text(unix_ns: int) -> str:
    return (_EPOCH + timedelta(microseconds=unix_ns // 1000)).isoformat()


def from_text(text: str) -> int:
    """Unix ns of ISO 8601 text (UTC where it names no zone), or of a number of seconds. InputError
    otherwise.
    """
    try:
        seconds = float(text)
    except ValueError:
        return _from_iso(text)
    if not math.isfinite(seconds) or not 0 <= seconds < 2**33:
        raise InputError(f"since is {text[:64]!r}: give unix seconds of 0 or more, or ISO 8601 text")
    return round(seconds * 1e9)


def _from_iso(text: str) -> int:
    try:
        # Python 3.10 does not read the Z. A plus sign in a query arrives as a space.
        found = datetime.fromisoformat(text.replace("Z", "+00:00").replace(" 00:00", "+00:00"))
        found = found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)
        return max((found - _EPOCH) // timedelta(microseconds=1) * 1000, 0)
    except (ValueError, OverflowError) as error:
        raise InputError(f"since is {text[:64]!r}: give ISO 8601 text or unix seconds") from error
