"""Boards of a stored session, with the results of their answers where the rows of their ticks are kept."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import numpy as np

from sage.app.store.boards import Board
from sage.app.store.rows import stored_solving
from sage.runtime.report import AnswerFacts


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
) -> dict[tuple[str, int], tuple[str, AnswerFacts]]:
    """The level and the facts of each answer since a tick, by stream and puzzle."""
    results = {}
    for (rest,) in connection.execute(
        "SELECT rest FROM ticks WHERE session = ? AND tick >= ? AND rest IS NOT NULL", (session, first_tick)
    ):
        for facts in stored_solving(rest):
            for answer in facts.answers:
                results[facts.stream, answer.number] = (facts.levels[answer.level].name, answer)
    return results


def _board(key: tuple[str, int], steps: list[sqlite3.Row], result: tuple[str, AnswerFacts] | None) -> Board:
    stream, puzzle = key
    board = Board(
        stream=stream,
        puzzle=puzzle,
        cells=np.frombuffer(steps[0]["cells"], np.int32),
        ticks=np.array([step["tick"] for step in steps]),
        answers=np.stack([np.frombuffer(step["answer"], np.int32) for step in steps]),
    )
    if result is None:
        return board
    level, answer = result
    segments = tuple(number for number, num in enumerate(answer.num_open, start=1) if num)
    return replace(
        board,
        level=level,
        num_segments=answer.num_segments,
        verdict="abstained" if answer.is_abstained else "right" if answer.is_right else "wrong",
        segments=segments if len(segments) == len(steps) else (),
    )
