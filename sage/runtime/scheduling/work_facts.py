"""What devices had done within the budget of a tick, for reports."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkFacts:
    """The work of one device in one tick.

    num_segments: of the tick's budget.  num_made: results.  ended: how each piece ended, in the words of
    solving.  work_trust: in its results by how they ended, 0..1; NaN before the first.
    skipped: why it got no segment: "not due", "budget", "tokens", "time", "energy", "mode", "failed".
    """

    name: str
    num_segments: int = 0
    num_made: int = 0
    ended: tuple[str, ...] = ()
    work_trust: float = math.nan
    skipped: str = ""
