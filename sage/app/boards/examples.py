"""Puzzles to try: drawn by the task of a model, or written here where they are hard.

Invariant: an example is in the text form that the task reads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.contract import Task

EASY, HARD = "easy", "hard"
#: 9x9 sudokus with one solution that one try of the shipped sudoku9 does not solve in 16 segments.
_HARD_SUDOKUS = ("8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4..",)
_NUM_TRIALS = 8


def example_kinds(task: Task | None) -> tuple[str, ...]:
    """Those that `example` has for the task; none for a task that draws or writes no puzzles."""
    if (
        task is None
        or not callable(getattr(task, "decode", None))
        or not callable(getattr(task, "encode", None))
    ):
        return ()
    return (EASY, HARD) if _is_sudoku9(task) else (EASY,)


def example(task: Task, kind: str, seed: int) -> str:
    """A puzzle as text. easy: drawn from the task as in training; equal seeds give equal puzzles. InputError
    for another kind, or where the task draws none.
    """
    kinds = example_kinds(task)
    if kind not in kinds:
        raise InputError(
            f"kind is {kind[:64]!r}: give one of {', '.join(kinds) or 'none: it has no examples'}"
        )
    if kind == HARD:
        return _HARD_SUDOKUS[seed % len(_HARD_SUDOKUS)]
    written: Any = task
    rng = np.random.default_rng(seed)
    for _ in range(_NUM_TRIALS):
        cells = task.sample(1, rng).inputs[0]
        if task.spec.blank is None or int((cells == task.spec.blank).sum()) * 3 > len(cells):
            break  # not one that is nearly solved already
    return str(written.decode(cells))


def _is_sudoku9(task: Task) -> bool:
    return task.spec.box == (3, 3) and task.spec.seq_len == 81
