"""A model with a verifier beside it: several tries, an answer or an abstention.

Invariant: an answer is counted as solved where the task's rules accept it; without one it is an abstention,
never a guess.
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
    """solved: share of puzzles with an answer that the rules accept, low..high its 95% interval; the rest
    abstained.

    first_try: solved by the plain try, without noise.  mean_segments: of all tries, also of those that ran
    beside the one that solved it.
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
    """The first `num` held-out puzzles, each with up to `tries` tries of up to `max_segments` segments."""
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
