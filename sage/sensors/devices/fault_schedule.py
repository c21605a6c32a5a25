"""The faults of a synthetic source on schedule, for example a cable that is pulled.

Invariant: at most one fault is active at a time, the first in the list that covers it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import ConfigDict, Field

from sage.sensors.time_limits import TimeLimited

FaultKind = Literal["raise", "hang", "nan", "shape", "stale", "frozen", "flood", "bias", "noise"]


class FaultConfig(TimeLimited):
    """One fault, from `at_secs` after the epoch for `for_secs`.

    raise: reads raise, opening too.  hang: a read blocks until the sensor is closed.  nan: NaN in the first
    `size` elements.  shape: a reading of another shape.  stale: the last reading again, with its old stamp
    and sequence.
    frozen: the values of the fault's start, with new stamps.  flood: `size` times as many readings.
    bias: `size` added.  noise: noise of standard deviation `size` added.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    at_secs: float = Field(ge=0)
    for_secs: float = Field(gt=0)
    fault: FaultKind
    size: float = Field(1.0, gt=0)


class FaultSchedule:
    """Finds the fault at a time."""

    def __init__(self, faults: Sequence[FaultConfig]) -> None:
        self._faults = tuple(
            (round(fault.at_secs * 1e9), round((fault.at_secs + fault.for_secs) * 1e9), fault)
            for fault in faults
        )

    def at(self, elapsed_ns: int) -> FaultConfig | None:
        for start_ns, stop_ns, fault in self._faults:
            if start_ns <= elapsed_ns < stop_ns:
                return fault
        return None
