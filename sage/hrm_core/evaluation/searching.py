"""Evaluate a model with a verifier: several tries for each puzzle, a search, a verified answer or an
abstention.

Invariant: only answers that satisfy the rules of the task count as solved.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from sage.hrm_core.evaluation.report import wilson_interval
from sage.hrm_core.solving.engine import SegmentModel
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.solving.solver import Solver
from sage.hrm_core.tasks.contract import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchScore:
    """solved: share of puzzles with a verified answer, low..high its 95% interval.  first_try: share solved
    by the first try, without noise.  mean_segments: segments of all tries and calls together, averaged over
    puzzles.  calls: of a search at most, 0 without one.  by_search: share that it solved.  mean_calls: of
    puzzles that were searched, the first try included; 0 without any.  no_solution: share where no node of
    the tree has one.
    """

    num: int
    tries: int
    max_segments: int
    solved: float
    low: float
    high: float
    first_try: float
    mean_segments: float
    cpu_secs: float
    calls: int = 0
    by_search: float = 0.0
    mean_calls: float = 0.0
    no_solution: float = 0.0


def search(
    model: SegmentModel,
    task: Task,
    *,
    num: int,
    tries: int,
    max_segments: int,
    calls: int = 0,
    batch_size: int = 64,
    seed: int = 0,
) -> SearchScore:
    """Solve the first `num` held-out puzzles: up to `tries` tries of up to `max_segments` segments each, then
    a search of up to `calls` calls. InputError if the task cannot be searched and calls is not 0.
    """
    examples = task.held_out(num)
    settings = SolveSettings(
        max_segments=max_segments, halt="verifier", tries=tries, seed=seed, abstains=True, search=calls
    )
    started = time.process_time()
    found = Solver(model, task).solve(
        examples.inputs, settings, puzzle_ids=examples.puzzle_ids, batch_size=batch_size
    )
    spent = [trace.calls for trace in found.trace if trace is not None]
    share = float(found.is_verified.mean())
    low, high = wilson_interval(share, len(examples))
    return SearchScore(
        num=len(examples),
        tries=tries,
        max_segments=max_segments,
        solved=share,
        low=low,
        high=high,
        first_try=float((found.is_verified & (found.attempt == 0)).mean()),
        mean_segments=float(found.num_segments_spent.mean()),
        cpu_secs=time.process_time() - started,
        calls=calls,
        by_search=float((found.is_verified & (found.attempt == tries)).mean()),
        mean_calls=float(np.mean(spent)) if spent else 0.0,
        no_solution=found.outcome.count("no_solution") / len(examples),
    )
