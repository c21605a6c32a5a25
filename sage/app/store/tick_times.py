"""Tick times of a stored session, during nights and while none ran. Invariant: of the ticks whose rows are
not averaged yet.
"""

from __future__ import annotations

import sqlite3

from sage.app.terminal.tick_times import NightTicks, NightTickTally
from sage.runtime.report import State


def read_tick_times(connection: sqlite3.Connection, session: int, limit: int) -> list[int]:
    """ns of the last `limit` whole ticks. session: its key."""
    query = "SELECT total_ns FROM ticks WHERE session = ? AND num_ticks = 1 ORDER BY tick DESC LIMIT ?"
    return [int(total_ns) for (total_ns,) in connection.execute(query, (session, limit))]


def read_night_ticks(connection: sqlite3.Connection, session: int) -> NightTicks:
    """session: its key."""
    tally = NightTickTally()
    rows = connection.execute(
        "SELECT state, total_ns FROM ticks WHERE session = ? AND num_ticks = 1 ORDER BY tick", (session,)
    )
    for state, total_ns in rows:
        tally.add(State(state), int(total_ns))
    return tally.figures()
