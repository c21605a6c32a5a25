"""Refuses a puzzle that has no solution or several, where its task states that a proper one has exactly one.

Invariant: the count is the task's own, by its rules; a puzzle whose count reaches the step limit is accepted.
"""

from __future__ import annotations

from typing import cast

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.contract import SolutionCount, TaskSpec


def check_proper(task: object, cells: np.ndarray) -> None:
    """InputError if cells (L,) have no solution, or more than one. Accepts all where `TaskSpec.is_unique` is
    False, or where the task does not count solutions.
    """
    spec = getattr(task, "spec", None)
    if not isinstance(spec, TaskSpec) or not spec.is_unique or not hasattr(task, "count_solutions"):
        return
    count = cast(SolutionCount, task).count_solutions(cells, at_most=2)
    if count == 0:
        raise InputError("the puzzle has no solution: check the givens")
    if count is not None and count > 1:
        num_givens = int((np.asarray(cells) != spec.blank).sum())
        raise InputError(
            f"the puzzle has more than one solution (at least {count}; {num_givens} givens): add givens"
        )
