"""Answers of puzzles as they formed, of the last ticks with a puzzle under way.

Invariant: bounded, NUM_TICKS rows a stream; older ones are deleted in the transaction that adds new ones.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgpack
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


def read_boards(connection: sqlite3.Connection, session: int) -> tuple[Board, ...]:
    """The puzzles of every stream in the order of their last step, oldest first."""
    found: dict[tuple[str, int], list[sqlite3.Row]] = {}
    for row in connection.execute("SELECT * FROM boards WHERE session = ? ORDER BY tick", (session,)):
        steps = found.setdefault((row["stream"], row["puzzle"]), [])
        if not steps or steps[-1]["answer"] != row["answer"]:
            steps.append(row)
    first_tick = min((steps[0]["tick"] for steps in found.values()), default=0)
    results = _results(connection, session, first_tick) if found else {}
    boards = [_board(key, steps, results.get(key)) for key, steps in found.items()]
    return tuple(sorted(boards, key=lambda board: int(board.ticks[-1])))


def _results(
    connection: sqlite3.Connection, session: int, first_tick: int
) -> dict[tuple[str, int], tuple[str, Mapping[str, Any]]]:
    """The level and the facts of each answer since a tick, by stream and puzzle."""
    results = {}
    for (rest,) in connection.execute(
        "SELECT rest FROM ticks WHERE session = ? AND tick >= ? AND rest IS NOT NULL", (session, first_tick)
    ):
        for stream in (*msgpack.unpackb(rest)[4:5], ())[0]:
            for answer in stream["answers"]:
                level = stream["levels"][answer["level"]]["name"]
                results[stream["stream"], answer["number"]] = (level, answer)
    return results


def _board(
    key: tuple[str, int], steps: list[sqlite3.Row], result: tuple[str, Mapping[str, Any]] | None
) -> Board:
    stream, puzzle = key
    level, answer = result or ("", {})
    segments = tuple(number for number, num in enumerate(answer.get("num_open", ()), start=1) if num)
    return Board(
        stream=stream,
        puzzle=puzzle,
        cells=np.frombuffer(steps[0]["cells"], np.int32),
        ticks=np.array([step["tick"] for step in steps]),
        answers=np.stack([np.frombuffer(step["answer"], np.int32) for step in steps]),
        level=level,
        num_segments=answer.get("num_segments"),
        verdict=_verdict(answer),
        segments=segments if len(segments) == len(steps) else (),
    )


def _verdict(answer: Mapping[str, Any]) -> str:
    if not answer:
        return ""
    return "abstained" if answer["is_abstained"] else "right" if answer["is_right"] else "wrong"
