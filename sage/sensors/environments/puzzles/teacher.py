"""The teacher of a puzzle stream: which solution it shows with the result of an answer.

Invariant: whether and how it lies about a puzzle depends on the seed and the puzzle's number alone. A wrong
solution keeps the puzzle's givens and is refused by the task's rules.
"""

from __future__ import annotations

import numpy as np

from sage.hrm_core.tasks.contract import Task
from sage.sensors.environments.puzzles.config import LyingTeacher, TeacherKind

#: Swaps that are tried before a single symbol is changed.
MAX_SWAPS = 32
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
    """(L,) int32: two cells of one row swapped that the puzzle leaves open, or one of them changed."""
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
        if not task.verify(cells[None], found[None])[0]:
            return found
    found, open_cells = solution.copy(), np.flatnonzero(cells != solution)
    cell = int(rng.choice(open_cells)) if len(open_cells) else int(rng.integers(len(cells)))
    symbols = np.setdiff1d(np.unique(solution), solution[cell])
    found[cell] = (
        int(rng.choice(symbols)) if len(symbols) else (int(solution[cell]) + 1) % task.spec.vocab_size
    )
    return found
