"""Coherence figures of a session, one line for each metric, and of several sessions side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sage.runtime.coherence.rows import CoherenceRow


@dataclass(frozen=True, slots=True, kw_only=True)
class CoherenceSummary:
    """One metric over the windows of a session, NaN where it is undefined in all of them.

    num_windows: with a value.  mean, std: of the values.  last: of the newest window with a value.
    null_mean: mean under chance.  mean_z: mean of z.  share_beyond_2: of windows with a z, those beyond 2 in
    size.
    """

    metric: str
    modules: str
    num_windows: int
    mean: float
    std: float
    last: float
    null_mean: float
    mean_z: float
    share_beyond_2: float


def summarize(rows: Sequence[CoherenceRow]) -> tuple[CoherenceSummary, ...]:
    """In the order of metric and modules."""
    groups: dict[tuple[str, str], list[CoherenceRow]] = {}
    for row in rows:
        groups.setdefault((row.metric, row.modules), []).append(row)
    return tuple(_summary(*key, groups[key]) for key in sorted(groups))


def _summary(metric: str, modules: str, rows: Sequence[CoherenceRow]) -> CoherenceSummary:
    values = _finite([row.value for row in rows])
    z = _finite([row.z for row in rows])
    return CoherenceSummary(
        metric=metric,
        modules=modules,
        num_windows=len(values),
        mean=_mean(values),
        std=float(values.std(ddof=1)) if len(values) > 1 else math.nan,
        last=float(values[-1]) if len(values) else math.nan,
        null_mean=_mean(_finite([row.null_mean for row in rows])),
        mean_z=_mean(z),
        share_beyond_2=_mean(np.abs(z) > 2),
    )


def _finite(values: Sequence[float]) -> np.ndarray:
    found = np.array(values, dtype=np.float64)
    kept: np.ndarray = found[np.isfinite(found)]
    return kept


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan
