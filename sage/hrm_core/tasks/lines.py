"""Cells that exclude each other: groups in which each interchangeable symbol stands exactly once.

Invariant: derived from a TaskSpec alone, so that a model and a trainer need no task.
"""

from __future__ import annotations

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.contract import TaskSpec
from sage.hrm_core.tasks.sudoku.grid import Box, units_of


def has_exclusive_lines(spec: TaskSpec) -> bool:
    """True for a square grid with boxes of as many cells as the grid has rows, and as many interchangeable
    symbols: sudoku of any size.
    """
    if spec.grid is None or spec.box is None or spec.alike_from is None:
        return False
    side = spec.box[0] * spec.box[1]
    return spec.grid == (side, side) and spec.vocab_size - spec.alike_from == side


def exclusive_lines(spec: TaskSpec) -> np.ndarray:
    """(3 n, n) int64 cell indices: the n rows, then the n columns, then the n boxes of an n x n grid.

    A valid answer has each symbol from spec.alike_from on exactly once in each line. InputError for a task
    without such lines.
    """
    if not has_exclusive_lines(spec):
        raise InputError(
            f"task {spec.name}: no lines in which each symbol stands once: give a task with `grid`, `box` and"
            " `alike_from`, such as sudoku"
        )
    assert spec.box is not None
    rows, cols = spec.box
    units = units_of(Box(rows=rows, cols=cols))  # (3, n^2)
    lines: np.ndarray = np.argsort(units, axis=1, kind="stable").reshape(3 * rows * cols, rows * cols)
    return lines
