"""Plans that grow move by move, for search: the state that the first moves lead to.

Invariant: a prefix has the rounds 1, 2, .. k, one move each, and every move keeps the rules in that order.
An object is named by the place where it stands at the start, as in `kernel`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sage.hrm_core.tasks.table.breadth_first import Move, legal_moves
from sage.hrm_core.tasks.table.kernel import ASIDE, HOME, START


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prefix:
    """goals, blockers (R,): the scene after the moves, each object at its present place. at (R,): the present
    place of the object that started there.  states (R,): START, ASIDE or HOME.  num_moves: made.
    moves: that may follow, each of an object and HOME or ASIDE.
    """

    goals: np.ndarray
    blockers: np.ndarray
    at: np.ndarray
    states: np.ndarray
    num_moves: int
    moves: list[Move]


def prefix_of(
    goals: np.ndarray, blockers: np.ndarray, num_places: int, aside: np.ndarray, home: np.ndarray
) -> Prefix | None:
    """The state after the moves; None where they are no prefix. All arrays (R,), as in `kernel`."""
    planned = sorted(
        [(int(number), row, ASIDE) for row, number in enumerate(aside) if number > 0]
        + [(int(number), row, HOME) for row, number in enumerate(home) if number > 0]
    )
    if [number for number, _, _ in planned] != list(range(1, len(planned) + 1)):
        return None
    at, states = np.arange(len(goals)), np.full(len(goals), START, np.int64)
    now, in_way = goals.copy(), blockers.copy()
    for _, row, to in planned:
        if (row, to) not in legal_moves(goals, blockers, num_places, states):
            return None
        place = int(at[row])
        free = goals[row] if to == HOME else num_places + np.flatnonzero(now[num_places:] < 0)[0]
        now[free], now[place] = now[place], -1
        in_way[place] = 0
        in_way &= ~(1 << place)
        at[row], states[row] = free, to
    return Prefix(
        goals=now,
        blockers=in_way,
        at=at,
        states=states,
        num_moves=len(planned),
        moves=legal_moves(goals, blockers, num_places, states),
    )


def appended(numbers: np.ndarray, num_made: int) -> np.ndarray:
    """Rounds of a plan (..., 0 for no move) as they follow `num_made` moves, without gaps; zeros stay 0."""
    used = np.unique(numbers[numbers > 0])
    found: np.ndarray = np.where(numbers > 0, num_made + 1 + np.searchsorted(used, numbers), 0)
    return found
