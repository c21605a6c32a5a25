"""The results of an evaluation. Imports no torch.

Invariant: shares are 0..1, nan where the count is 0.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from sage.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthScore:
    """Scores after `segments` segments.  exact: share of puzzles with every scored cell right.

    cell: share of scored cells that are right, averaged over puzzles.  unknown_cell: share of right cells
    among those whose label differs from the input.  valid: share of answers that satisfy the rules of the
    task.  low, high: 95% interval of `exact`.
    """

    segments: int
    exact: float
    cell: float
    unknown_cell: float
    valid: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltScore:
    """Scores with early halting: each puzzle stops at the first segment whose Q head halts with at least
    solving's MIN_CONFIDENCE; otherwise the most confident segment's answer and all segments count.

    q_accuracy: share of puzzles whose halt decision agrees with the answer being exact.  mean_segments: mean
    number of segments taken.  last_q_accuracy: the published trainer's `q_halt_accuracy`, the share of
    puzzles with (q_halt >= 0) == exact after the last segment; its evaluation never halts earlier (HRM,
    models/losses.py, ACTLossHead).
    """

    exact: float
    valid: float
    mean_segments: float
    q_accuracy: float
    last_q_accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationBin:
    """Puzzles with sigmoid(q_halt) in low..high: mean confidence, and share that is exact."""

    low: float
    high: float
    num: int
    confidence: float
    exact: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """ece: mean over puzzles of |confidence - exact| of their bin (Guo et al. 2017), at the last segment."""

    ece: float
    bins: tuple[CalibrationBin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineScore:
    """Scores of a trivial answer on the same puzzles."""

    name: str
    exact: float
    cell: float
    unknown_cell: float
    valid: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalReport:
    """One model on one task.  failures: rows of the evaluated set that are wrong at the last depth.

    graded: means of the task's partial scores, such as the share of satisfied clauses.

    input_sensitivity: share of differing answers between two puzzles over the share of differing labels: 0
    for a constant function, 1 for a perfect model.
    """

    task: str
    num: int
    depths: tuple[DepthScore, ...]
    halting: HaltScore
    calibration: Calibration
    baselines: tuple[BaselineScore, ...]
    graded: dict[str, float]
    input_sensitivity: float
    failures: tuple[int, ...]

    @property
    def exact(self) -> float:
        """Share of exact answers at the greatest depth."""
        return self.depths[-1].exact

    @property
    def score(self) -> float:
        """Share of valid answers at the greatest depth; a puzzle may have several valid answers."""
        return self.depths[-1].valid

    @property
    def best_baseline(self) -> BaselineScore:
        return max(self.baselines, key=lambda each: (each.exact, each.cell))

    def to_plain(self) -> dict[str, Any]:
        """A JSON-serialisable dictionary; nan is None."""
        return {key: _plain(value) for key, value in dataclasses.asdict(self).items()}

    def figures(self) -> dict[str, float]:
        """Figures by name. `eval/exact_accuracy`, `accuracy`, `q_halt_accuracy` and `steps` are
        computed as the published trainer computes them: after the last segment, over puzzles with labels.
        `eval/halting_*` are ours, of early halting.
        """
        depth = self.depths[-1]
        return {
            "eval/exact_accuracy": depth.exact,
            "eval/accuracy": depth.cell,
            "eval/valid": depth.valid,
            "eval/q_halt_accuracy": self.halting.last_q_accuracy,
            "eval/steps": float(depth.segments),
            "eval/halting_exact_accuracy": self.halting.exact,
            "eval/halting_q_accuracy": self.halting.q_accuracy,
            "eval/halting_steps": self.halting.mean_segments,
            "eval/ece": self.calibration.ece,
            "eval/input_sensitivity": self.input_sensitivity,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """One figure over several seeds. std: sample standard deviation, nan for a single seed."""

    num: int
    mean: float
    std: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    if not values:
        raise InputError("no values: give at least one")
    std = stdev(values) if len(values) > 1 else math.nan
    return Spread(num=len(values), mean=fmean(values), std=std, low=min(values), high=max(values))


def wilson_interval(share: float, num: int, z: float = 1.959964) -> tuple[float, float]:
    """95% interval of a share of `num` (Wilson 1927); not empty at 0 and 1."""
    if num == 0:
        return math.nan, math.nan
    centre = (share + z * z / (2 * num)) / (1 + z * z / num)
    half = z / (1 + z * z / num) * math.sqrt(share * (1 - share) / num + z * z / (4 * num * num))
    return max(0.0, centre - half), min(1.0, centre + half)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(each) for each in value]
    return value
