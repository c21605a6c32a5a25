"""Evaluate chains of learned deduction: with the rules, and without them.

Invariant: with rules an answer is never wrong; without, wrong answers and abstentions are counted apart.
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
class DeductionScore:
    """has_rules: whether the task's rules accept answers, or the conflict head alone.  solved, wrong: shares
    of puzzles with a right and with a wrong answer; the rest are abstentions. low..high: 95% interval of
    solved. wrong_high: upper end of that of wrong.  mean_calls: of the model, over all puzzles."""

    num: int
    chains: int
    calls: int
    has_rules: bool
    solved: float
    low: float
    high: float
    wrong: float
    wrong_high: float
    mean_calls: float
    mean_segments: float
    cpu_secs: float

    @property
    def abstained(self) -> float:
        return 1.0 - self.solved - self.wrong


def score_chains(
    model: SegmentModel,
    task: Task,
    *,
    num: int,
    chains: int,
    calls: int,
    has_rules: bool,
    kill_below: float | None = None,
    max_segments: int = 16,
    batch_size: int = 64,
    seed: int = 0,
) -> DeductionScore:
    """The first `num` held-out puzzles: a plain try, then chains for up to `calls` calls of the model each.

    Without rules the plain try is not accepted as an answer: the conflict head judges chains only.
    InputError for a model without deduction heads.
    """
    examples = task.held_out(num)
    settings = SolveSettings(
        max_segments=max_segments,
        halt="verifier" if has_rules else "q",
        abstains=has_rules,
        search=calls,
        chains=chains,
        kill_below=kill_below,
        seed=seed,
    )
    started = time.process_time()
    solver = Solver(model, task if has_rules else None)
    found = solver.solve(examples.inputs, settings, puzzle_ids=examples.puzzle_ids, batch_size=batch_size)
    cpu_secs = time.process_time() - started
    is_right = task.verify(examples.inputs, found.answers) & ~found.is_abstained
    is_wrong = ~is_right & ~found.is_abstained
    solved, wrong = float(is_right.mean()), float(is_wrong.mean())
    low, high = wilson_interval(solved, len(examples))
    return DeductionScore(
        num=len(examples),
        chains=chains,
        calls=calls,
        has_rules=has_rules,
        solved=solved,
        low=low,
        high=high,
        wrong=wrong,
        wrong_high=wilson_interval(wrong, len(examples))[1],
        mean_calls=float(np.mean([1 if trace is None else trace.calls for trace in found.trace])),
        mean_segments=float(found.num_segments_spent.mean()),
        cpu_secs=cpu_secs,
    )
