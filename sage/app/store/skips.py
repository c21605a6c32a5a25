"""Why sources and streams were skipped in a stored session.

Invariant: a row that is averaged because of its age keeps the numbers of ticks, but not the words: a reading
of such a row that found no place is counted as "not recorded".
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgpack

from sage.app.terminal.skips import SkipTally
from sage.runtime.scheduling.skips import NOT_DUE, WORDS

NOT_RECORDED = "not recorded"
_SUMS = (
    "SELECT name, status, SUM(num_ticks - num_fresh) AS num_still,"
    " SUM(num_fresh - num_attended) AS num_missed, SUM(num_ticks - num_attended) AS num_unattended"
    " FROM sources NATURAL JOIN source_names WHERE session = ? GROUP BY source, status"
)


def read_skips(connection: sqlite3.Connection, session: int) -> SkipTally:
    """session: its key."""
    tally = SkipTally()
    missed = _add_words(connection, session, tally)
    for row in connection.execute(_SUMS, (session,)):
        if row["status"] != "running":
            tally.add(row["name"], row["status"], int(row["num_unattended"]))
            continue
        tally.add(row["name"], WORDS[NOT_DUE], int(row["num_still"]))
        tally.add(row["name"], NOT_RECORDED, int(row["num_missed"]) - missed.get(row["name"], 0))
    return tally


def _add_words(connection: sqlite3.Connection, session: int, tally: SkipTally) -> dict[str, int]:
    """Reasons in the rows of single ticks: of streams, of work, and of sources whose reading found no place.
    The number of the latter by source.
    """
    names = dict(connection.execute("SELECT source, name FROM source_names WHERE session = ?", (session,)))
    missed: dict[str, int] = {}
    rows = connection.execute("SELECT rest FROM ticks WHERE session = ? AND rest IS NOT NULL", (session,))
    for (rest,) in rows:
        row: Sequence[Any] = msgpack.unpackb(rest, use_list=False)
        order = row[3]
        solving, _, _, words, _, works = (*row[4:], (), (), (), (), (), ())[:6]
        for stream in solving:
            tally.add(stream["stream"], stream.get("skipped", ""))
        for work in works:
            tally.add(work["name"], work["skipped"])
        for source, word in zip(order, words):
            if word in WORDS and word not in ("", WORDS[NOT_DUE]):
                tally.add(names[source], word)
                missed[names[source]] = missed.get(names[source], 0) + 1
    return missed
