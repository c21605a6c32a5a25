"""The position of a run: what a checkpoint holds beside the learner's and the stream's state."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class TrainerState:
    """step: steps done.  cpu_secs, wall_secs: of the steps, over all resumes.

    best_score: EvalReport.score, the best of all evaluations, measured after best_step.
    """

    step: int = 0
    cpu_secs: float = 0.0
    wall_secs: float = 0.0
    best_score: float = -math.inf
    best_step: int = 0
