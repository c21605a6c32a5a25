"""How many steps a night's training has, where its time is limited.

Invariant: equal on all processes that train together, so that they end together.
"""

from __future__ import annotations

from collections.abc import Callable

from sage.hrm_core.optim.ranks import Ranks

_SHORTEST_SECS = 1e-9


class TimeLimit:
    """secs: equal on all ranks, counted from here.  clock: seconds."""

    def __init__(self, secs: float, clock: Callable[[], float], ranks: Ranks) -> None:
        self._secs = secs
        self._clock = clock
        self._ranks = ranks
        self._started = clock()

    def most(self, num_tried: int, num_steps: int) -> int:
        """Steps of the whole training, `num_steps` at most, by the mean time of those tried; at least one."""
        spent = self._ranks.mean(self._clock() - self._started)
        if not num_tried:
            return num_steps
        if spent >= self._secs:
            return num_tried
        fitting = round(num_tried * self._secs / max(spent, _SHORTEST_SECS))
        return min(num_steps, max(num_tried + 1, fitting))
