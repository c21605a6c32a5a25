"""Evaluate a model with a verifier: several tries for each puzzle, a verified answer or an abstention.

Invariant: only answers that satisfy the rules of the task count as solved.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from sage.hrm_core.evaluation.report import wilson_interval
from sage.hrm_core.solving.engine import SegmentModel
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.solving.solver import Solver
from sage.hrm_core.tasks.contract import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchScore:
    """solved: share of puzzles with a verified answer, low..high its 95% interval.  first_try: share solved
    by the first try, without noise.  mean_segments: segments of all tries together, averaged over puzzles.
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


def search(
    model: SegmentModel,
    task: Task,
    *,
    num: int,
    tries: int,
    max_segments: int,
    batch_size: int = 64,
    seed: int = 0,
) -> SearchScore:
    """Solve the first `num` held-out puzzles: up to `tries` tries of up to `max_segments` segments each."""
    examples = task.held_out(num)
    settings = SolveSettings(
        max_segments=max_segments, halt="verifier", tries=tries, seed=seed, abstains=True
    )
    started = time.process_time()
    found = Solver(model, task).solve(
        examples.inputs, settings, puzzle_ids=examples.puzzle_ids, batch_size=batch_size
    )
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
    )
