"""Dreams: puzzles that no life has brought, from the task's generator and from the model's own answers.

Invariant: every dream has a solution that the rules accept, and the only one where the task's puzzles have
one; none is an examined puzzle in any symmetric form, one of those that the night asks, or one that a task
with `are_held_out` holds out. With a given cell less a training puzzle can be a held-out one where the task
decides by the puzzle, as for 4x4 sudokus.
Shapes: N puzzles, L cells.  apart (M,) uint64: orbit keys of puzzles that judge the night.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sage.hrm_core.evaluation.evaluate import run_segments
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.tasks.contract import IGNORED, Examples, Task
from sage.hrm_core.tasks.orbits import are_examined, orbit_keys
from sage.hrm_core.tasks.split import without_ids
from sage.runtime.sleep.puzzles.pool import Pool
from sage.runtime.sleep.puzzles.table import Provenance

_NONE_APART = np.zeros(0, np.uint64)


def generated(
    task: Task, num: int, weight: float, rng: np.random.Generator, *, apart: np.ndarray = _NONE_APART
) -> Pool:
    """Up to `num` training puzzles of the task's generator."""
    drawn = task.sample(num, rng)
    answers = drawn.answers()
    is_verified = np.asarray(task.verify(drawn.inputs, answers), bool)
    is_kept = may_be_learned(task, drawn.inputs, apart) & is_verified
    return _pool(drawn.inputs[is_kept], answers[is_kept], weight, Provenance.GENERATED)


def rolled_out(
    model: HRM, task: Task, inputs: np.ndarray, weight: float, *, apart: np.ndarray = _NONE_APART
) -> Pool:
    """The model's own answers to puzzles (N, L) without a solution, those that the rules accept."""
    inputs = inputs[may_be_learned(task, inputs, apart)].astype(np.int32)
    if not len(inputs):
        return _pool(inputs, inputs, weight, Provenance.ROLLED_OUT)
    unknown = without_ids(inputs, np.full_like(inputs, IGNORED))
    trace = run_segments(model, unknown, model.config.halt_max_segments)
    index, _ = trace.halted()
    answers = trace.answers[index, np.arange(len(inputs))]
    is_kept = np.asarray(task.verify(inputs, answers), bool) & _have_one_solution(task, inputs)
    is_kept[is_kept] = ~held_out_by_task(task, inputs[is_kept], answers[is_kept])
    return _pool(inputs[is_kept], answers[is_kept], weight, Provenance.ROLLED_OUT)


def opened(task: Task, examples: Examples, rng: np.random.Generator) -> np.ndarray:
    """(N, L) the puzzles with one given cell less each, "what if it had not been given"; the puzzle itself
    where the task has no blank or nothing is given.
    """
    blank = task.spec.blank
    inputs = examples.inputs.copy()
    if blank is None:
        return inputs
    for row in inputs:
        given = np.flatnonzero(row != blank)
        if len(given):
            row[rng.choice(given)] = blank
    return inputs


def may_be_learned(task: Task, inputs: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """(N,) bool: of puzzles that a night has made, those that it may train on."""
    if not len(inputs):
        return np.zeros(0, bool)
    keys = orbit_keys(task, inputs)
    found: np.ndarray = ~are_examined(keys) & ~np.isin(keys, apart)
    return found


def held_out_by_task(task: Task, inputs: np.ndarray, solutions: np.ndarray) -> np.ndarray:
    """(N,) bool: which puzzles with solutions (N, L) the task holds out: a later night may ask them. All are
    False where the task has no method `are_held_out`.
    """
    find: Any = getattr(task, "are_held_out", None)
    if find is None or not len(inputs):
        return np.zeros(len(inputs), bool)
    return np.asarray(find(inputs, solutions), bool)


def _have_one_solution(task: Task, inputs: np.ndarray) -> np.ndarray:
    """(N,) bool; True for tasks whose puzzles may have several."""
    count: Any = getattr(task, "count_solutions", None)
    if not task.spec.is_unique or count is None:
        return np.ones(len(inputs), bool)
    return np.array([count(row, at_most=2) == 1 for row in inputs], bool)


def _pool(inputs: np.ndarray, labels: np.ndarray, weight: float, provenance: Provenance) -> Pool:
    return Pool(
        inputs=inputs.astype(np.int32),
        labels=labels.astype(np.int32),
        weights=np.full(len(inputs), weight),
        provenance=np.full(len(inputs), int(provenance), np.int8),
    )
