"""Evaluate a model without a verifier: several starts for each puzzle, and the model picks one answer (EqR,
arXiv 2605.21488).

Invariant: rules and labels judge the picked answer; they have no part in picking it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from sage.hrm_core.evaluation.report import wilson_interval
from sage.hrm_core.evaluation.scoring import mark
from sage.hrm_core.solving.engine import SegmentModel
from sage.hrm_core.solving.settings import Pick, SolveSettings
from sage.hrm_core.solving.solver import Solver
from sage.hrm_core.tasks.contract import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class BreadthScore:
    """valid: share of puzzles whose picked answer follows the rules, low..high its 95% interval; the rest are
    wrong answers.  exact: share that equals the labels.  plain: share of valid answers by the first start
    alone.
    """

    num: int
    starts: int
    segments: int
    pick: Pick
    valid: float
    low: float
    high: float
    exact: float
    plain: float
    cpu_secs: float


def breadth(
    model: SegmentModel,
    task: Task,
    *,
    num: int,
    starts: int,
    segments: int,
    pick: Pick = "residual",
    batch_size: int = 64,
    seed: int = 0,
) -> BreadthScore:
    """The first `num` held-out puzzles: the plain start and `starts` - 1 random ones of `segments` segments
    each.
    """
    examples = task.held_out(num)
    settings = SolveSettings(
        max_segments=segments, halt="never", tries=starts, variation="start", pick=pick, seed=seed
    )
    solver = Solver(model)
    started = time.process_time()
    found = solver.solve(examples.inputs, settings, puzzle_ids=examples.puzzle_ids, batch_size=batch_size)
    cpu_secs = time.process_time() - started
    first = solver.solve(
        examples.inputs, settings, puzzle_ids=examples.puzzle_ids, batch_size=batch_size, tries=1
    )
    marks = mark(task, examples, found.answers)
    valid = float(marks.is_valid.mean())
    low, high = wilson_interval(valid, len(examples))
    return BreadthScore(
        num=len(examples),
        starts=starts,
        segments=segments,
        pick=pick,
        valid=valid,
        low=low,
        high=high,
        exact=marks.exact,
        plain=float(mark(task, examples, first.answers).is_valid.mean()),
        cpu_secs=cpu_secs,
    )
