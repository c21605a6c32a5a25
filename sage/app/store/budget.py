"""Who got the segments of a stored session. Invariant: of the ticks whose rows are not averaged yet."""

from __future__ import annotations

import sqlite3

import msgpack

from sage.app.terminal.budget import BudgetFigures, BudgetTally
from sage.runtime.scheduling.work_facts import WorkFacts


def read_budget(connection: sqlite3.Connection, session: int) -> BudgetFigures:
    """session: its key."""
    tally = BudgetTally()
    rows = connection.execute(
        "SELECT num_segments, rest FROM ticks WHERE session = ? AND rest IS NOT NULL ORDER BY tick",
        (session,),
    )
    for prediction, rest in rows:
        parts = msgpack.unpackb(rest, use_list=False)[4:]
        solving, _, _, _, _, works = (*parts, (), (), (), (), (), ())[:6]
        tally.add(
            int(prediction),
            [(stream["stream"], stream.get("num_segments", 0)) for stream in solving],
            [WorkFacts(**work) for work in works],
        )
    return tally.figures()
