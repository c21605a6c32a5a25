"""Answers of puzzles as they formed, of the last ticks with a puzzle under way.

Invariant: bounded, NUM_TICKS rows a stream; older ones are deleted in the transaction that adds new ones.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sage.runtime.report import SolvingFacts

#: Ticks that are kept.
NUM_TICKS = 600
#: cells, answer: int32.
BOARD_TABLE = """
CREATE TABLE boards (session INTEGER, stream TEXT, tick INTEGER, puzzle INTEGER NOT NULL,
    cells BLOB NOT NULL, answer BLOB NOT NULL, PRIMARY KEY (session, stream, tick)) WITHOUT ROWID;
"""
_INSERT = "INSERT OR REPLACE INTO boards VALUES (?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One puzzle in hand. cells: (L,) int32.  ticks: (T,) of the steps.  answers: (T, L) int32, the answer
    after each step, each different from the one before it.

    level: its name.  num_segments: of the answer.  verdict: "right", "wrong" or "abstained".  segments: the
    number of the segment that each step was. All empty, or None, where the answer has no result or its tick
    is averaged; segments also where a step was several segments.
    """

    stream: str
    puzzle: int
    cells: np.ndarray
    ticks: np.ndarray
    answers: np.ndarray
    level: str = ""
    num_segments: int | None = None
    verdict: str = ""
    segments: tuple[int, ...] = ()


def board_rows(session: int, tick: int, facts: SolvingFacts) -> list[tuple[object, ...]]:
    """At most one row: of a tick that has an answer in progress."""
    if not facts.board_answer or len(facts.board_answer) != len(facts.board_cells):
        return []
    cells, answer = (np.array(each, np.int32).tobytes() for each in (facts.board_cells, facts.board_answer))
    return [(session, facts.stream, tick, facts.board_number, cells, answer)]


def insert_boards(connection: sqlite3.Connection, rows: Iterable[tuple[object, ...]]) -> None:
    """Within the caller's transaction."""
    given = list(rows)
    connection.executemany(_INSERT, given)
    for session, stream in dict.fromkeys((row[0], row[1]) for row in given):
        connection.execute(
            "DELETE FROM boards WHERE session = :session AND stream = :stream AND tick <= (SELECT tick FROM"
            " boards WHERE session = :session AND stream = :stream ORDER BY tick DESC LIMIT 1 OFFSET :num)",
            {"session": session, "stream": stream, "num": NUM_TICKS},
        )
