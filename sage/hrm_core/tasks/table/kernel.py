"""The shortest plan of a scene, and what a plan does: compiled where numba is installed.

A scene is two rows of numbers, by place: `goals` (the place where the object that stands here is to go, -1
where none stands) and `blockers` (bit p: the object at place p is in its way). Places from `num_places` on
are buffers. An object is named by the place where it stands at the start. It can be lifted once its blockers
have left; its goal is free once the object that stood there has left; a buffer takes one object. An object at
its goal stays there.

Invariant: the plan found has the fewest moves. Of the sets of objects that are put aside in such a plan the
first in the order of places is taken, and every object moves as early as it can: `aside` and `home` count
the rounds, from 1; the moves of one round can be made in any order.
"""

# mypy: no-warn-return-any
# what an array holds is known to numba, not to mypy
from __future__ import annotations

import numpy as np

from sage.hrm_core.tasks.loops import inner, loop

#: Objects put aside in a shortest plan, at most: every second of a table of pairs that change places.
MOST_ASIDE = 5
START, ASIDE, HOME = 0, 1, 2


@inner
def can_lift(blockers: np.ndarray, states: np.ndarray, row: int) -> bool:
    """Whether nothing stands in the way of the object of this row."""
    if states[row] == START and blockers[row] != 0:
        for place in range(len(states)):
            if (blockers[row] >> place) & 1 and states[place] == START:
                return False
    return True


@inner
def is_goal_free(goals: np.ndarray, states: np.ndarray, row: int) -> bool:
    """Whether no object stands at the goal of the object of this row."""
    place = goals[row]
    return goals[place] < 0 or states[place] != START


@inner
def try_aside(
    goals: np.ndarray,
    blockers: np.ndarray,
    num_places: int,
    order: np.ndarray,
    num_aside: int,
    in_order: bool,
    aside: np.ndarray,
    home: np.ndarray,
) -> bool:
    """Play the plan that puts the first `num_aside` of `order` aside; False where it gets stuck.

    in_order: in this order alone, else as soon as there is a buffer. aside, home (R,) are filled.
    """
    num_rows = len(goals)
    states, later = np.zeros(num_rows, np.int64), np.zeros(num_rows, np.int64)
    is_chosen = np.zeros(num_rows, np.bool_)
    num_free, num_left = num_rows - num_places, 0
    for row in range(num_rows):
        aside[row] = 0
        home[row] = 0
        if goals[row] >= 0 and goals[row] != row:
            num_left += 1
            num_free -= 1 if row >= num_places else 0
    for index in range(num_aside):
        is_chosen[order[index]] = True
    number, num_put = 0, 0
    while num_left > 0:
        number += 1
        has_moved = False
        later[:] = states
        num_taken = 0
        for row in range(num_rows):
            if goals[row] < 0 or goals[row] == row or states[row] == HOME:
                continue
            if is_chosen[row] and states[row] == START:
                continue
            if can_lift(blockers, states, row) and is_goal_free(goals, states, row):
                later[row] = HOME
                home[row] = number
                num_left -= 1
                num_taken -= 1 if states[row] == ASIDE or row >= num_places else 0
                has_moved = True
        room = num_free
        for index in range(num_aside):
            row = order[index]
            if states[row] != START:
                continue
            if room == 0 or not can_lift(blockers, states, row):
                if in_order:
                    break
                continue
            later[row] = ASIDE
            aside[row] = number
            room -= 1
            num_taken += 1
            num_put += 1
            has_moved = True
        if not has_moved:
            return False
        num_free -= num_taken
        states[:] = later
    return num_put == num_aside


@inner
def next_permutation(items: np.ndarray, num: int) -> bool:
    """The next one of the first `num` items in the order of the dictionary; False after the last."""
    left = num - 2
    while left >= 0 and items[left] >= items[left + 1]:
        left -= 1
    if left < 0:
        return False
    right = num - 1
    while items[right] <= items[left]:
        right -= 1
    items[left], items[right] = items[right], items[left]
    low, high = left + 1, num - 1
    while low < high:
        items[low], items[high] = items[high], items[low]
        low += 1
        high -= 1
    return True


@inner
def solve_one(
    goals: np.ndarray, blockers: np.ndarray, num_places: int, aside: np.ndarray, home: np.ndarray
) -> int:
    """Moves of the shortest plan, which fills aside, home (R,); -1 where there is none."""
    num_rows = len(goals)
    movable, num_movable, num_moves = np.zeros(num_rows, np.int64), 0, 0
    for row in range(num_rows):
        if goals[row] >= 0 and goals[row] != row:
            num_moves += 1
            if row < num_places:
                movable[num_movable] = row
                num_movable += 1
    chosen, order = np.zeros(num_rows, np.int64), np.zeros(num_rows, np.int64)
    for size in range(min(MOST_ASIDE, num_movable) + 1):
        for index in range(size):
            chosen[index] = index
        while True:
            for index in range(size):
                order[index] = movable[chosen[index]]
            if try_aside(goals, blockers, num_places, order, size, False, aside, home):
                return num_moves + size
            is_more = size > 1
            while is_more:
                if try_aside(goals, blockers, num_places, order, size, True, aside, home):
                    return num_moves + size
                is_more = next_permutation(order, size)
            last = size - 1
            while last >= 0 and chosen[last] == num_movable - size + last:
                last -= 1
            if last < 0:
                break
            chosen[last] += 1
            for index in range(last + 1, size):
                chosen[index] = chosen[index - 1] + 1
    return -1


@loop
def solve_scenes(
    goals: np.ndarray, blockers: np.ndarray, num_places: int, aside: np.ndarray, home: np.ndarray
) -> np.ndarray:
    """(N,) moves of the shortest plans of scenes (N, R) int64, -1 where there is none. aside, home (N, R)
    int64 are filled with rounds, 0 where an object makes no such move.
    """
    num_moves = np.zeros(len(goals), np.int64)
    for index in range(len(goals)):
        num_moves[index] = solve_one(goals[index], blockers[index], num_places, aside[index], home[index])
        if num_moves[index] < 0:
            aside[index, :] = 0
            home[index, :] = 0
    return num_moves


@loop
def play_plans(
    goals: np.ndarray, blockers: np.ndarray, num_places: int, aside: np.ndarray, home: np.ndarray
) -> np.ndarray:
    """(N, 2): moves of a plan that are made before one breaks a rule, and whether all objects are then at
    their goals and the whole plan was made.

    aside, home (N, R): when an object moves, 0 never. The order is that of the numbers; of equal ones moves
    to goals come first, then the order of places.
    """
    num_rows = goals.shape[1]
    found = np.zeros((len(goals), 2), np.int64)
    states = np.zeros(num_rows, np.int64)
    for index in range(len(goals)):
        goal, blocker = goals[index], blockers[index]
        num_free, num_left, num_planned, last = num_rows - num_places, 0, 0, 0
        for row in range(num_rows):
            states[row] = START
            num_planned += (1 if aside[index, row] > 0 else 0) + (1 if home[index, row] > 0 else 0)
            last = max(last, max(aside[index, row], home[index, row]))
            if goal[row] >= 0 and goal[row] != row:
                num_left += 1
                num_free -= 1 if row >= num_places else 0
        num_made, is_legal = 0, True
        for number in range(1, last + 1):
            for kind in range(2):
                for row in range(num_rows):
                    if not is_legal or (home if kind == 0 else aside)[index, row] != number:
                        continue
                    is_legal = goal[row] >= 0 and goal[row] != row and can_lift(blocker, states, row)
                    if kind == 0:
                        is_legal = is_legal and states[row] != HOME and is_goal_free(goal, states, row)
                        if is_legal:
                            num_free += 1 if states[row] == ASIDE or row >= num_places else 0
                            states[row] = HOME
                            num_left -= 1
                    else:
                        is_legal = is_legal and states[row] == START and row < num_places and num_free > 0
                        if is_legal:
                            num_free -= 1
                            states[row] = ASIDE
                    num_made += 1 if is_legal else 0
        found[index, 0] = num_made
        found[index, 1] = 1 if is_legal and num_left == 0 and num_made == num_planned else 0
    return found


@loop
def greedy_plans(
    goals: np.ndarray, blockers: np.ndarray, num_places: int, aside: np.ndarray, home: np.ndarray
) -> np.ndarray:
    """(N,) moves of a plan without looking ahead, whose numbers fill aside, home (N, R): the first object
    that can move to its goal does; where none can, the first that can be lifted is put aside; where none can
    either, the plan ends.
    """
    num_rows = goals.shape[1]
    num_moves = np.zeros(len(goals), np.int64)
    states = np.zeros(num_rows, np.int64)
    for index in range(len(goals)):
        goal, blocker = goals[index], blockers[index]
        num_free = num_rows - num_places
        for row in range(num_rows):
            states[row] = START
            aside[index, row] = 0
            home[index, row] = 0
            num_free -= 1 if row >= num_places and goal[row] >= 0 else 0
        while True:
            first_home, first_aside = -1, -1
            for row in range(num_rows - 1, -1, -1):
                is_open = goal[row] >= 0 and goal[row] != row and states[row] != HOME
                if not is_open or not can_lift(blocker, states, row):
                    continue
                if is_goal_free(goal, states, row):
                    first_home = row
                elif states[row] == START and row < num_places and num_free > 0:
                    first_aside = row
            if first_home < 0 and first_aside < 0:
                break
            num_moves[index] += 1
            if first_home >= 0:
                num_free += 1 if states[first_home] == ASIDE or first_home >= num_places else 0
                states[first_home] = HOME
                home[index, first_home] = num_moves[index]
            else:
                num_free -= 1
                states[first_aside] = ASIDE
                aside[index, first_aside] = num_moves[index]
    return num_moves
