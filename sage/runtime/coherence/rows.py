"""One coherence figure of one window of ticks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

#: Of the estimators and their nulls; it rises when a change alters their values.
ESTIMATOR = "coherence/2"


@dataclass(frozen=True, slots=True, kw_only=True)
class CoherenceRow:
    """metric: for example "rep.cka".  modules: what it was measured on, for example "z_H,z_L".

    tick, time_ns: of the window's last tick.  num: samples behind the value.  null_mean, null_std: of the
    same estimator without coupling, NaN for a metric without a null.  z: (value - null_mean) / null_std.
    NaN means undefined.
    """

    metric: str
    modules: str
    tick: int
    time_ns: int
    num: int
    value: float
    null_mean: float = math.nan
    null_std: float = math.nan
    z: float = math.nan
    estimator: str = ESTIMATOR


@runtime_checkable
class CoherenceListener(Protocol):
    """An instrument that also receives the figures of each window."""

    def on_coherence(self, rows: tuple[CoherenceRow, ...]) -> None: ...
