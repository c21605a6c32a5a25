"""How long ago the sessions of a store ended, by a wall clock that may be wrong by years.

A machine without a battery-backed clock starts in 1970, and a clock may be set to another year and back. Time
is counted from what cannot be wrong, the order of the sessions and their own clocks, and from the wall clock
only for the pauses between them. Invariant: a clock that is wrong by more than MAX_PAUSE_NS, or that was set
back, makes no session older than it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import accumulate

#: A longer pause is taken for a wrong clock.
MAX_PAUSE_NS = 366 * 86_400 * 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """When a session was. last_ns: time of its last tick by its own clock, None without a tick.  started_ns,
    ended_ns: by the wall clock.  lasted_ns: by its own clock, and what that clock left out, e.g. a suspended
    machine.
    """

    key: int
    name: str
    last_ns: int | None
    started_ns: int
    ended_ns: int
    lasted_ns: int


def read_spans(connection: sqlite3.Connection, now_ns: int, active: int | None) -> list[Span]:
    """Of every session, oldest first. A simulated clock is not used."""
    query = (
        "SELECT *, (SELECT MAX(time_ns) FROM ticks WHERE session = key) AS last_ns FROM sessions ORDER BY key"
    )
    found = []
    for row in connection.execute(query).fetchall():
        last_ns, started_ns, ended_ns = row["last_ns"], row["started_ns"], row["ended_ns"]
        own_ns = 0 if last_ns is None or row["clock"] != "real" else max(0, last_ns - row["clock_ns"])
        if row["key"] == active:
            ended_ns = now_ns
        elif ended_ns is None:  # killed: its end is about its last stored tick
            ended_ns = started_ns + own_ns
        lasted_ns = own_ns + _pause(ended_ns - started_ns - own_ns)
        found.append(
            Span(
                key=row["key"], name=row["id"], last_ns=last_ns, started_ns=started_ns, ended_ns=ended_ns,
                lasted_ns=lasted_ns,
            )
        )  # fmt: skip
    return found


def times_since(spans: Sequence[Span], now_ns: int, active: int | None) -> list[int]:
    """ns since the end of each session, 0 for the active one: the sum of the pauses and sessions since then,
    and not more than by the wall clock, or for the session before.
    """
    found = []
    total_ns, next_ns = 0, now_ns
    for span in reversed(spans):
        total_ns = 0 if span.key == active else total_ns + _pause(next_ns - span.ended_ns)
        by_wall_ns = now_ns - span.ended_ns
        found.append(min(total_ns, by_wall_ns) if by_wall_ns >= 0 else total_ns)
        total_ns, next_ns = total_ns + span.lasted_ns, span.started_ns
    return list(accumulate(reversed(found), min))


def clock_problem(spans: Sequence[Span], active: int | None) -> str:
    """Why the pause before the active session does not count, "" where it does."""
    at = next((at for at, span in enumerate(spans) if span.key == active), 0)
    if at == 0:
        return ""
    before, now = spans[at - 1], spans[at]
    if _pause(now.started_ns - before.ended_ns) or now.started_ns == before.ended_ns:
        return ""
    return (
        f"this session starts at {_date(now.started_ns)}, the one before it, {before.name}, ended at"
        f" {_date(before.ended_ns)}: no stored row is older by this pause: check the clock"
    )


def _pause(pause_ns: int) -> int:
    return pause_ns if 0 <= pause_ns <= MAX_PAUSE_NS else 0


def _date(wall_ns: int) -> str:
    return datetime.fromtimestamp(wall_ns // 10**9, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
