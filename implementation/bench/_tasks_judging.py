"""What `sage train` left on a task, beside the task's trivial baseline: shares of answers that the task's own
rules accept.

Invariant: a share stands with its number of puzzles and its 95% interval; model and baseline answered the
same puzzles.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sage.app.models.training.evaluating import EvalRequest, evaluate_all
from sage.hrm_core.evaluation.report import EvalReport, wilson_interval


@dataclass(frozen=True)
class Judged:
    """solved: valid after `segments` segments, of `num` held-out puzzles.  graded: the task's own shares in
    part.
    """

    what: str
    num: int
    segments: int
    solved: float
    low: float
    high: float
    baseline: str
    baseline_solved: float
    baseline_high: float
    graded: dict[str, float] = field(default_factory=dict)

    @property
    def above_baseline(self) -> float:
        """From the upper end of the baseline's interval to the lower end of the model's: above 0 they do not
        touch.
        """
        return self.low - self.baseline_high


def judge(run: Path, what: str, *, segments: int, num: int, options: dict[str, Any] | None = None) -> Judged:
    """A run on its task. options: of the task, where other puzzles than its own are asked for."""
    request = EvalRequest(sources=(str(run),), options=options or {}, num=num, segments=(segments,))
    [found] = evaluate_all(request)
    return of_report(what, found.report)


def judge_parts(run: Path, *, segments: int, num: int) -> dict[str, Judged]:
    """A run on a mixture, by the names of its tasks; `num` puzzles of each."""
    request = EvalRequest(sources=(str(run),), num=num, segments=(segments,))
    parts = {found.report.task: found.report for found in evaluate_all(request)}
    return {name: of_report(f"{name}, joint", report) for name, report in parts.items()}


def of_report(what: str, report: EvalReport) -> Judged:
    depth = report.depths[-1]
    best = max(report.baselines, key=lambda each: each.valid)
    low, high = wilson_interval(depth.valid, report.num)
    return Judged(
        what=what,
        num=report.num,
        segments=depth.segments,
        solved=depth.valid,
        low=low,
        high=high,
        baseline=best.name,
        baseline_solved=best.valid,
        baseline_high=wilson_interval(best.valid, report.num)[1],
        graded=report.graded,
    )
