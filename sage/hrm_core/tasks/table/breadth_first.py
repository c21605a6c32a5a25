"""The shortest plan of a scene by breadth-first search over its states, without the kernel's shortcuts."""

from __future__ import annotations

from collections import deque

import numpy as np

from sage.hrm_core.tasks.table.kernel import ASIDE, HOME, START, can_lift, is_goal_free

#: (place of the object at the start, HOME or ASIDE)
Move = tuple[int, int]


def legal_moves(goals: np.ndarray, blockers: np.ndarray, num_places: int, states: np.ndarray) -> list[Move]:
    """Moves that a state allows. goals, blockers (R,) as in `kernel`; states (R,): START, ASIDE or HOME."""
    is_open = (goals >= 0) & (goals != np.arange(len(goals))) & (states != HOME)
    beside = is_open & ((states == ASIDE) | (np.arange(len(goals)) >= num_places))
    has_room = int(beside.sum()) < len(goals) - num_places
    moves: list[Move] = []
    for row in np.flatnonzero(is_open).tolist():
        if not can_lift(blockers, states, row):
            continue
        if is_goal_free(goals, states, row):
            moves.append((row, HOME))
        if has_room and not beside[row]:
            moves.append((row, ASIDE))
    return moves


def breadth_first_plan(goals: np.ndarray, blockers: np.ndarray, num_places: int) -> list[Move] | None:
    """The fewest moves that bring every object to its goal; None where there is no way."""
    start = (START,) * len(goals)
    is_open = (goals >= 0) & (goals != np.arange(len(goals)))
    came: dict[tuple[int, ...], tuple[tuple[int, ...], Move] | None] = {start: None}
    waiting = deque([start])
    while waiting:
        state = waiting.popleft()
        states = np.array(state, np.int64)
        if (states[is_open] == HOME).all():
            return _way(came, state)
        for row, to in legal_moves(goals, blockers, num_places, states):
            following = (*state[:row], to, *state[row + 1 :])
            if following not in came:
                came[following] = (state, (row, to))
                waiting.append(following)
    return None


def _way(
    came: dict[tuple[int, ...], tuple[tuple[int, ...], Move] | None], state: tuple[int, ...]
) -> list[Move]:
    moves: list[Move] = []
    step = came[state]
    while step is not None:
        moves.append(step[1])
        step = came[step[0]]
    return moves[::-1]
