"""Unix time: from a clock to text and back. Invariant: text is ISO 8601 in UTC, with microseconds."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta, timezone
from decimal import Decimal

from sage.errors import InputError
from sage.mailbox.clock import Clock, ManualClock

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
SECOND_NS = 10**9
#: Of a time that is read, in the year 2242: its ns are an integer of 64 bits.
LAST_SECOND = 2**33
_NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?([eE][0-9]{1,2})?")
#: The extended form of ISO 8601 and the basic one, by calendar date.
_ISO = re.compile(
    r"(?P<year>[0-9]{4})(?P<dash>-?)(?P<month>[0-9]{2})(?P=dash)(?P<day>[0-9]{2})"
    r"([Tt ](?P<hour>[0-9]{2})"
    r"((?P<colon>:?)(?P<minute>[0-9]{2})((?P=colon)(?P<second>[0-9]{2})([.,](?P<fraction>[0-9]{1,18}))?)?)?"
    r"([Zz]|(?P<sign>[+\- ])(?P<zone_hour>[0-9]{2})(:?(?P<zone_minute>[0-9]{2}))?)?)?"
)


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


def seconds_text(unix_ns: int) -> str:
    """Seconds, exactly; `from_text` reads it back. unix_ns: 0 or more."""
    return f"{unix_ns // SECOND_NS}.{unix_ns % SECOND_NS:09d}"


def from_text(text: str) -> int:
    """Unix ns of ISO 8601 text (UTC where it names no zone), or of a number of seconds; 0 for a time before
    1970. A space is taken where ISO 8601 has a T, and for the plus sign of a zone, which a query turns into
    one. InputError otherwise.
    """
    number, iso = _NUMBER.fullmatch(text), _ISO.fullmatch(text)
    try:
        unix_ns = int(Decimal(text) * SECOND_NS) if number else None if iso is None else _from_iso(iso)
    except (ValueError, OverflowError):  # a month of 13, a zone of 24 hours, the year 10000
        unix_ns = None
    if unix_ns is None or unix_ns >= LAST_SECOND * SECOND_NS:
        raise InputError(
            f"since is {text[:64]!r}: give ISO 8601 text, as 2026-11-30T10:15:00Z, or unix seconds"
        )
    return max(unix_ns, 0)


def _from_iso(found: re.Match[str]) -> int:
    """ValueError and OverflowError for a time that no calendar has."""
    year, month, day, hour, minute, second = (
        int(found[name] or 0) for name in ("year", "month", "day", "hour", "minute", "second")
    )
    if hour == 24 and (minute, second, int(found["fraction"] or 0)) != (0, 0, 0):
        raise ValueError("24:00 is the end of a day")
    days = timedelta(days=hour == 24)
    wall = datetime(year, month, day, 0 if days else hour, minute, second, tzinfo=timezone.utc)
    seconds = (wall - _EPOCH + days - _zone(found)) // timedelta(seconds=1)
    return seconds * SECOND_NS + int((found["fraction"] or "").ljust(9, "0")[:9])


def _zone(found: re.Match[str]) -> timedelta:
    hours, minutes = int(found["zone_hour"] or 0), int(found["zone_minute"] or 0)
    if hours > 23 or minutes > 59:
        raise ValueError("a zone is less than a day from UTC")
    zone = timedelta(hours=hours, minutes=minutes)
    return -zone if found["sign"] == "-" else zone
