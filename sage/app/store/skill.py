"""The skill table of a stored session: the same sums that the session's own summary adds up.

Invariant: bins and nights are cut where `SkillTable` cuts them, so that the report and the summary agree.
"""

from __future__ import annotations

import sqlite3

from sage.app.store.schema import is_finite
from sage.app.terminal.skill import NIGHTS, Cells, SkillSums, SkillTable, Stretch, bin_width

_SUMS = (
    "SELECT name, (tick - :first) / :width AS bin,"
    " CASE WHEN tick <= :first_night THEN 0 WHEN tick <= :last_night THEN 1 ELSE 2 END AS stretch,"
    " SUM(num_scored) AS num_scored, SUM(error) AS error, SUM(persistence_error) AS persistence,"
    f" TOTAL(skip_error) FILTER (WHERE {is_finite('skip_error')}) AS skip,"
    f" TOTAL(error) FILTER (WHERE {is_finite('skip_error')}) AS skipped"
    " FROM sources NATURAL JOIN source_names WHERE session = :session AND num_scored > 0"
    " GROUP BY source, bin, stretch"
)


def read_skill_table(connection: sqlite3.Connection, session: int) -> SkillTable:
    """session: its key. Averaged rows count as a whole on the side of a cut where their last tick lies."""
    first, last = connection.execute(
        "SELECT MIN(tick), MAX(tick) FROM ticks WHERE session = ?", (session,)
    ).fetchone()
    if first is None:
        return SkillTable()
    outcomes = [outcome.value for outcome in NIGHTS]
    num_nights, first_night, last_night = connection.execute(
        "SELECT COUNT(*), MIN(end_tick), MAX(end_tick) FROM sleeps"
        " WHERE session = ? AND outcome IN (?, ?, ?)",
        (session, *outcomes),
    ).fetchone()
    num_ticks = last - first + 1
    cut = {"first_night": -1, "last_night": -1}
    if num_nights:
        cut = {"first_night": first_night, "last_night": last_night}
    plan = {"session": session, "first": first, "width": bin_width(num_ticks), **cut}
    cells: Cells = {}
    for row in connection.execute(_SUMS, plan):
        names = ("num_scored", "error", "persistence", "skip", "skipped")
        sums = SkillSums(**{name: float(row[name]) for name in names})
        cells[row["name"], row["bin"], Stretch(row["stretch"])] = sums
    return SkillTable(cells, num_ticks=num_ticks, num_nights=num_nights)
