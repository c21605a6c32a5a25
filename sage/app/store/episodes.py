"""Episodes of the worlds that a session acted in: when each ended, and its return.

Invariant: one row an episode; a session without such a world has none.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sage.runtime.report import ActingFacts
from sage.sensors.environment import CUT_OFF

EPISODE_TABLE = """
CREATE TABLE episodes (session INTEGER, world TEXT, episode INTEGER, tick INTEGER NOT NULL,
    return REAL NOT NULL, is_cut INTEGER NOT NULL, success REAL,
    PRIMARY KEY (session, world, episode)) WITHOUT ROWID;
"""
INSERT_EPISODE = "INSERT OR REPLACE INTO episodes VALUES (?, ?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeHistory:
    """One world. ticks: (N,) at which its episodes ended.  returns: (N,).  is_cut: (N,) bool, cut off, e.g.
    by a time limit.  success: (N,) 1 where it reached its goal, else 0, NaN in a world that states none.
    """

    world: str
    ticks: np.ndarray
    returns: np.ndarray
    is_cut: np.ndarray
    success: np.ndarray

    def first_median(self, num: int) -> float:
        """Of the returns of the first `num` episodes; NaN without any."""
        return float(np.median(self.returns[:num])) if len(self.returns) else math.nan

    def last_median(self, num: int) -> float:
        return float(np.median(self.returns[-num:])) if len(self.returns) else math.nan

    @property
    def states_success(self) -> bool:
        return bool(np.isfinite(self.success).any())

    def trailing(self, ticks: np.ndarray, num: int, quantile: float = 0.5) -> np.ndarray:
        """(M,) quantile of the returns of the last `num` episodes up to each of `ticks`; NaN before the
        first.
        """
        return self._trailing(ticks, num, lambda start, end: np.quantile(self.returns[start:end], quantile))

    def trailing_success(self, ticks: np.ndarray, num: int) -> np.ndarray:
        """(M,) share of the last `num` episodes that reached their goal; NaN before the first."""
        return self._trailing(ticks, num, lambda start, end: self.success[start:end].mean())

    def _trailing(
        self, ticks: np.ndarray, num: int, statistic: Callable[[int, int], float | np.floating]
    ) -> np.ndarray:
        ends = np.searchsorted(self.ticks, ticks, side="right")
        found = np.full(len(ticks), np.nan)
        for at, end in enumerate(ends.tolist()):
            if end:
                found[at] = statistic(max(0, end - num), end)
        return found


def episode_row(session: int, tick: int, facts: ActingFacts) -> tuple[object, ...] | None:
    """None for a tick in which no episode ended."""
    if not facts.reset or not facts.num_episodes or not math.isfinite(facts.last_return):
        return None
    is_cut = facts.reset == CUT_OFF
    return (
        session,
        facts.world,
        facts.num_episodes,
        tick,
        facts.last_return,
        int(is_cut),
        facts.last_success,
    )


def read_episodes(connection: sqlite3.Connection, session: int) -> tuple[EpisodeHistory, ...]:
    """The worlds in the order of their names."""
    found: dict[str, list[tuple[float, ...]]] = {}
    query = (
        "SELECT world, tick, return, is_cut, success FROM episodes WHERE session = ? ORDER BY world, episode"
    )
    for row in connection.execute(query, (session,)):
        found.setdefault(row["world"], []).append((row["tick"], row["return"], row["is_cut"], row["success"]))
    histories = []
    for world, rows in found.items():
        table = np.array(rows, float)
        histories.append(
            EpisodeHistory(
                world=world,
                ticks=table[:, 0].astype(np.int64),
                returns=table[:, 1],
                is_cut=table[:, 2] > 0,
                success=table[:, 3],
            )
        )
    return tuple(histories)
