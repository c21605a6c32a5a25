"""One table: a scene, and an arm that makes the moves of a plan one by one.

Invariant: every scene that is posed has a plan; what happens depends on the random generator and the plans
alone. A move that breaks a rule is not made, and ends the plan.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum

import numpy as np

from sage.hrm_core.tasks.table.scenes import Scenes
from sage.hrm_core.tasks.table.task import TableTask

#: (place of the object when the scene was posed, its goal; None: a buffer)
Move = tuple[int, "int | None"]
#: Places that are tried for an object that is put back.
MAX_TRIES = 8


class Outcome(Enum):
    """Of one period of the arm."""

    MOVED = "moved"
    SLIPPED = "slipped"
    REFUSED = "refused"  # the move breaks a rule
    NO_PLAN = "no plan"
    WORKING = "working"  # the move has not ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Chances:
    """slip, change: of a move, as in the configuration."""

    slip: float
    change: float


class Arm:
    """goals, blockers (R,) int64: the scene of now, as in `sage.hrm_core.tasks.table.kernel`, with each
    object at its present place. num_moves, num_slips, num_changes: since the scene was set.
    """

    def __init__(self, task: TableTask, chances: Chances, rng: np.random.Generator) -> None:
        self.num_moves = 0
        self.num_slips = 0
        self.num_changes = 0
        self.goals = np.full(task.config.rows, -1, np.int64)
        self.blockers = np.zeros(task.config.rows, np.int64)
        self._task = task
        self._chances = chances
        self._rng = rng
        self._plan: deque[Move] = deque()
        self._places: dict[int, int] = {}

    def set_scene(self, scenes: Scenes) -> None:
        """scenes: of one row."""
        self.goals, self.blockers = scenes.goals[0].copy(), scenes.blockers[0].copy()
        self.num_moves = self.num_slips = self.num_changes = 0
        self._plan.clear()

    @property
    def scene(self) -> Scenes:
        return Scenes(goals=self.goals[None].copy(), blockers=self.blockers[None].copy())

    @property
    def is_cleared(self) -> bool:
        """Whether every object is at its goal."""
        return not self.scene.is_open.any()

    @property
    def has_plan(self) -> bool:
        return bool(self._plan)

    @property
    def shortest(self) -> int:
        """Moves of the shortest plan from now on; -1 where there is none."""
        return int(self._task.num_moves(self._task.cells_of(self.scene))[0])

    def take_plan(self, moves: list[Move]) -> None:
        """The moves of an answer to the scene of now."""
        self._plan = deque(moves)
        self._places = {row: row for row, _ in moves}

    def act(self) -> tuple[Outcome, bool]:
        """Make the next move. Returns what became of it, and whether the scene then changed otherwise, which
        ends the plan."""
        if not self._plan:
            return Outcome.NO_PLAN, False
        start, goal = self._plan[0]
        row = self._places[start]
        to = self._destination(row, goal)
        if to is None:
            self._plan.clear()
            return Outcome.REFUSED, False
        if self._rng.random() < self._chances.slip:
            self.num_slips += 1
            return Outcome.SLIPPED, False
        self._plan.popleft()
        self._put(row, to)
        self._places[start] = to
        self.num_moves += 1
        if self._rng.random() < self._chances.change and not self.is_cleared and self._change():
            self.num_changes += 1
            self._plan.clear()
            return Outcome.MOVED, True
        return Outcome.MOVED, False

    def _destination(self, row: int, goal: int | None) -> int | None:
        """Where the object at `row` is put; None where the move breaks a rule."""
        num_places = self._task.config.places
        if self.goals[row] < 0 or self.goals[row] == row or self.blockers[row]:
            return None
        if goal is None:
            free = np.flatnonzero(self.goals[num_places:] < 0)
            return num_places + int(free[0]) if len(free) and row < num_places else None
        return goal if goal == self.goals[row] and self.goals[goal] < 0 else None

    def _put(self, row: int, to: int) -> None:
        self.goals[to], self.goals[row] = self.goals[row], -1
        self.blockers[row] = 0
        self.blockers &= ~(1 << row)

    def _change(self) -> bool:
        """Change the scene so that there is still a plan; False where nothing was found."""
        before = self.goals.copy(), self.blockers.copy()
        changes = [self._put_back, self._stand_in_way]
        for index in self._rng.permutation(len(changes)).tolist():
            for _ in range(MAX_TRIES):
                if changes[index]() and self.shortest > 0:
                    return True
                self.goals, self.blockers = before[0].copy(), before[1].copy()
        return False

    def _put_back(self) -> bool:
        """An object at its goal is put at another free place."""
        settled = np.flatnonzero(self.goals == np.arange(len(self.goals)))
        free = np.flatnonzero(self.goals[: self._task.config.places] < 0)
        if not len(settled) or not len(free):
            return False
        row, to = int(self._rng.choice(settled)), int(self._rng.choice(free))
        self.goals[to], self.goals[row] = row, -1
        return True

    def _stand_in_way(self) -> bool:
        """An object comes to stand in another one's way, in no circle of such objects."""
        here = np.arange(len(self.goals))
        is_open = (self.goals >= 0) & (self.goals != here) & (here < self._task.config.places)
        pairs = np.argwhere(is_open[:, None] & is_open & (here[:, None] != here) & ~self.scene.in_way[0])
        if not len(pairs):
            return False
        row, other = self._rng.choice(pairs)
        self.blockers[row] |= 1 << int(other)
        return True
