"""Which puzzles of a life are examined and never trained on: one in EXAMINED_EVERY, decided by the puzzle and
all its symmetric forms together.

Invariant: a puzzle and its images under the symmetries of its task are on the same side, in every run.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from sage.hrm_core.tasks.contract import Task
from sage.hrm_core.tasks.split import are_held_out, row_keys

EXAMINED_EVERY = 10
#: Makes this split independent of the one between `Task.sample` and `Task.held_out`.
_SALT = np.uint64(0xA0761D6478BD642F)


class WithOrbits(Protocol):
    """A task whose symmetries `transform` draws from."""

    def orbit_keys(self, inputs: np.ndarray) -> np.ndarray:
        """(N,) uint64 of puzzles (N, L): equal for a puzzle and its images under the symmetries."""
        ...


def orbit_keys(task: Task, inputs: np.ndarray) -> np.ndarray:
    """(N,) uint64 of puzzles (N, L); of a task without symmetries the key of the puzzle itself."""
    own = getattr(task, "orbit_keys", None)
    keys: np.ndarray = row_keys(inputs) if own is None else own(inputs)
    return keys


def are_examined(keys: np.ndarray) -> np.ndarray:
    """(N,) bool: whether puzzles with these orbit keys (N,) uint64 are examined and never trained on."""
    return are_held_out(keys ^ _SALT, EXAMINED_EVERY)
