"""The teacher of a puzzle stream: which solution it shows with the result of an answer.

Invariant: whether and how it lies about a puzzle depends on the seed and the puzzle's number alone. A wrong
solution keeps the puzzle's givens and is refused by the task's rules, unless these accept every answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np

from sage.hrm_core.tasks.contract import Task
from sage.sensors.environments.puzzles.config import LyingTeacher, TeacherKind

#: Swaps that are tried before symbols are changed.
MAX_SWAPS = 32
#: Changes that are tried, and how many of them with one number of cells, from 1 on.
MAX_CHANGES, CHANGES_OF_A_SIZE = 128, 16
_SALT = 0x7EAC


class Teacher:
    """Of one level."""

    def __init__(self, kind: TeacherKind, *, seed: int) -> None:
        self._shows = kind != "never"
        self._lying = kind.lying if isinstance(kind, LyingTeacher) else 0.0  # share of wrong solutions
        self._seed = seed

    def solution(self, number: int, task: Task, cells: np.ndarray, solution: np.ndarray) -> np.ndarray | None:
        """(L,) int32, or None. cells, solution: (L,) of the puzzle with this number."""
        if not self._shows:
            return None
        if not self._lying:
            return solution
        rng = np.random.default_rng((self._seed, _SALT, number))
        return wrong_solution(task, cells, solution, rng) if rng.random() < self._lying else solution


def wrong_solution(
    task: Task, cells: np.ndarray, solution: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(L,) int32 that the task refuses: two cells of one row swapped that the puzzle leaves open, or some of
    them changed. The solution itself where no change of open cells is wrong, as of a formula without clauses.
    """
    for found in chain(_swapped(task, cells, solution, rng), _changed(task, cells, solution, rng)):
        if not task.verify(cells[None], found[None])[0]:
            return found
    return solution


def _swapped(
    task: Task, cells: np.ndarray, solution: np.ndarray, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    rows = np.arange(len(cells)) // (task.spec.grid[1] if task.spec.grid else len(cells))
    for _ in range(MAX_SWAPS):
        first = int(rng.integers(len(cells)))
        # A cell is open where its symbol is that of `first` in the puzzle, and another in the solution.
        others = np.flatnonzero(
            (rows == rows[first]) & (cells == cells[first]) & (solution != solution[first])
        )
        if not len(others):
            continue
        second, found = int(rng.choice(others)), solution.copy()
        found[first], found[second] = solution[second], solution[first]
        yield found


def _changed(
    task: Task, cells: np.ndarray, solution: np.ndarray, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """One open cell with another symbol of open cells, later more cells at once; at last all open cells with
    one symbol.
    """
    open_cells = np.flatnonzero(cells != solution)
    if not len(open_cells):
        open_cells = np.arange(len(cells))
    symbols = np.unique(solution[open_cells])
    for attempt in range(MAX_CHANGES):
        num = min(1 + attempt // CHANGES_OF_A_SIZE, len(open_cells))
        found = solution.copy()
        for cell in rng.choice(open_cells, size=num, replace=False):
            others = symbols[symbols != solution[cell]]
            found[cell] = rng.choice(others) if len(others) else (solution[cell] + 1) % task.spec.vocab_size
        yield found
    for symbol in range(task.spec.vocab_size):
        found = solution.copy()
        found[open_cells] = symbol
        yield found
