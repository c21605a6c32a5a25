"""Answers of puzzle streams by level, from the store.

Invariant: counts are those of the stored ticks; averaging old ticks adds them up and loses none.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import numpy as np

_COLUMNS = ("num_answers", "num_right", "num_abstained", "num_segments", "confidence")


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelHistory:
    """One level of one stream. ticks: (N,) int64 of rows with results, in order.

    num_answers, num_right, num_abstained, num_segments: (N,) int64 of the answers of each row; confidence:
    (N,) float64, their sum.
    """

    stream: str
    name: str
    ticks: np.ndarray
    num_answers: np.ndarray
    num_right: np.ndarray
    num_abstained: np.ndarray
    num_segments: np.ndarray
    confidence: np.ndarray

    def first_share(self, num: int) -> float:
        """Share right of the first `num` answers, or of all where there are fewer; NaN without any."""
        return self._share(0, min(num, int(self.num_answers.sum())))

    def last_share(self, num: int) -> float:
        """Share right of the last `num` answers, or of all where there are fewer; NaN without any."""
        total = int(self.num_answers.sum())
        return self._share(max(0, total - num), total)

    def trailing_share(self, ticks: np.ndarray, num: int) -> np.ndarray:
        """(M,) share right of the last `num` answers up to each of `ticks`; NaN before the first answer."""
        return self._trailing(self.num_right, ticks, num)

    def trailing_segments(self, ticks: np.ndarray, num: int) -> np.ndarray:
        """(M,) mean segments of the last `num` answers up to each of `ticks`; NaN before the first answer."""
        return self._trailing(self.num_segments, ticks, num)

    def _trailing(self, counts: np.ndarray, ticks: np.ndarray, num: int) -> np.ndarray:
        """Of `counts`, (N,) sums of each row, the mean over the last `num` answers."""
        answers, sums = _cumulated(self.num_answers), _cumulated(counts)
        end = answers[np.searchsorted(self.ticks, ticks, side="right")]  # (M,) answers so far
        start = np.maximum(end - num, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (np.interp(end, answers, sums) - np.interp(start, answers, sums)) / (end - start)
        found: np.ndarray = np.where(end > start, mean, np.nan)
        return found

    def _share(self, start: int, end: int) -> float:
        if end <= start:
            return float("nan")
        answers, right = _cumulated(self.num_answers), _cumulated(self.num_right)
        gained = np.interp([start, end], answers, right)
        return float((gained[1] - gained[0]) / (end - start))


def read_answers(connection: sqlite3.Connection, session: int) -> tuple[LevelHistory, ...]:
    """The levels of all streams, in the order in which they were first reported."""
    levels = connection.execute(
        "SELECT level, stream, name FROM level_names WHERE session = ? ORDER BY level", (session,)
    ).fetchall()
    found = []
    for level in levels:
        rows = connection.execute(
            f"SELECT tick, {', '.join(_COLUMNS)} FROM answers WHERE session = ? AND level = ? ORDER BY tick",
            (session, level["level"]),
        ).fetchall()
        table = np.array([tuple(row) for row in rows], dtype=np.float64).reshape(len(rows), 6)
        counts = table[:, :5].astype(np.int64)
        found.append(
            LevelHistory(
                stream=level["stream"],
                name=level["name"],
                ticks=counts[:, 0],
                num_answers=counts[:, 1],
                num_right=counts[:, 2],
                num_abstained=counts[:, 3],
                num_segments=counts[:, 4],
                confidence=table[:, 5],
            )
        )
    return tuple(found)


def _cumulated(counts: np.ndarray) -> np.ndarray:
    """(N + 1,) sums of the first 0, 1, ... N counts."""
    sums: np.ndarray = np.concatenate(([0], np.cumsum(counts)))
    return sums
