"""How active the two states of the reasoning model are, for reports."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityFacts:
    """The change of z_H and of z_L in the last segment of a tick, relative to the state's size; NaN where no
    finite one was computed.
    """

    h_change: float = math.nan
    l_change: float = math.nan


NO_ACTIVITY = ActivityFacts()
