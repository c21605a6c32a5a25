"""All tables of one environment: which scene is asked for, what an answer leads to, what is counted.

Invariant: equal seeds and equal answers at equal times give equal scenes and results. No method waits.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields

import numpy as np

from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.split import are_held_out
from sage.hrm_core.tasks.table.scenes import renamed
from sage.hrm_core.tasks.table.task import TableTask
from sage.sensors.environments.table.arm import Arm, Chances, Outcome
from sage.sensors.environments.table.config import TableWorldConfig
from sage.sensors.puzzle_messages import Answer, Puzzle, Result

_SALT = 0x7AB1


@dataclass(slots=True, kw_only=True)
class Totals:
    """Counts since the environment opened. num_given_up: scenes with no plan left, or with too many plans.
    num_replans: plans for a scene after its first.  num_changes: of scenes, by themselves.
    num_refused: moves that a rule forbids, each of which ends a plan.
    """

    num_finished: int = 0
    num_given_up: int = 0
    num_plans: int = 0
    num_right: int = 0
    num_replans: int = 0
    num_moves: int = 0
    num_slips: int = 0
    num_changes: int = 0
    num_refused: int = 0

    def named(self) -> dict[str, int]:
        """As reports show them."""
        counts = {each.name: getattr(self, each.name) for each in fields(self)}
        return {_NAMES[name]: value for name, value in counts.items()}


_NAMES = {
    "num_finished": "tables cleared",
    "num_given_up": "given up",
    "num_plans": "plans",
    "num_right": "right plans",
    "num_replans": "replans",
    "num_moves": "moves",
    "num_slips": "slips",
    "num_changes": "changed scenes",
    "num_refused": "moves refused",
}


@dataclass(slots=True, kw_only=True, eq=False)
class _Table:
    """names (R,): the number that each place has in the scene as it was posed.  num_plans: of this scene."""

    arm: Arm
    due_ns: int
    names: np.ndarray
    num_plans: int = 0
    number: int | None = None


class Tables:
    """From open to close of one environment. Used by one thread."""

    def __init__(self, config: TableWorldConfig, now_ns: int) -> None:
        self.totals = Totals()
        self._config = config
        self._period_ns = round(config.move_secs * 1e9)
        self._task = table_task(config)
        self._first = table_task(config, aside=1, begun=0.0)
        self._rng = np.random.default_rng((config.seed, _SALT))
        self._scenes: deque[np.ndarray] = deque()
        self._asked: deque[tuple[int, np.ndarray]] = deque()
        self._cells: dict[int, tuple[_Table, np.ndarray]] = {}
        self._next_number = 0
        chances = Chances(slip=config.slip, change=config.change)
        self._tables = [
            _Table(
                arm=self._new_arm(chances, np.random.default_rng((config.seed, _SALT, index))),
                due_ns=now_ns,
                names=np.arange(self._task.config.rows),
            )
            for index in range(config.tables)
        ]
        for table in self._tables:
            self._begin(table)

    def _new_arm(self, chances: Chances, rng: np.random.Generator) -> Arm:
        if self._config.executor == "rules":
            return Arm(self._task, chances, rng)
        from sage.sensors.environments.table.mujoco_arm import MujocoArm

        return MujocoArm(self._config.name, self._task, chances, rng)

    def _draw(self) -> np.ndarray:
        """(N, L) scenes that may begin."""
        found = self._first.sample(16, self._rng).inputs
        if self._config.executor == "rules":
            return found
        from sage.sensors.environments.table.mujoco_arm import as_pairs

        pairs = self._first.solved(as_pairs(self._first.scenes_of(found))).inputs
        kept: np.ndarray = pairs[~are_held_out(self._first.orbit_keys(pairs))]
        return kept

    def advance(self, now_ns: int) -> None:
        """Make the moves that are due."""
        for table in self._tables:
            while table.due_ns <= now_ns and table.arm.has_plan:
                self._act(table)
                table.due_ns += self._period_ns
            table.due_ns = max(table.due_ns, now_ns)

    def next_puzzle(self) -> Puzzle | None:
        """The scene of a table that waits for a plan, each once."""
        if not self._asked:
            return None
        number, cells = self._asked.popleft()
        return Puzzle(number=number, level=0, cells=cells)

    def answer(self, answer: Answer, now_ns: int) -> Result | None:
        """None for a scene that waits for no plan. Abstaining is a plan without moves."""
        found = self._cells.pop(answer.number, None)
        if found is None:
            return None
        table, cells = found
        is_whole = len(answer.cells) == len(cells)
        is_right = is_whole and bool(self._task.verify(cells[None], answer.cells[None])[0])
        table.number = None
        table.num_plans += 1
        self.totals.num_plans += 1
        self.totals.num_right += is_right
        self.totals.num_replans += table.num_plans > 1
        table.due_ns = now_ns + self._period_ns
        old = table.names.argsort()
        plan = self._task.with_givens(cells[None], answer.cells[None])[0] if is_whole else cells
        moves = self._task.moves_of(plan)
        table.arm.take_plan([(int(old[row]), None if to is None else int(old[to])) for row, to in moves])
        if not moves:
            self._go_on(table)
        shows = self._config.teacher == "after"
        solution = self._task.solved(self._task.scenes_of(cells[None])).answers()[0] if shows else None
        return Result(number=answer.number, level=0, is_right=is_right, solution=solution)

    def _act(self, table: _Table) -> None:
        arm, totals = table.arm, self.totals
        outcome, has_changed = arm.act()
        totals.num_moves += outcome is Outcome.MOVED
        totals.num_slips += outcome is Outcome.SLIPPED
        totals.num_refused += outcome is Outcome.REFUSED
        totals.num_changes += has_changed
        if not arm.has_plan:
            self._go_on(table)

    def _go_on(self, table: _Table) -> None:
        """At the end of a plan: the next scene, or another plan for this one."""
        arm = table.arm
        if arm.is_cleared:
            self.totals.num_finished += 1
            self._begin(table)
        elif table.num_plans >= self._config.max_plans + arm.num_changes or arm.shortest < 0:
            self.totals.num_given_up += 1
            self._begin(table)
        else:
            self._ask(table)

    def _begin(self, table: _Table) -> None:
        while not self._scenes:
            self._scenes.extend(self._draw())
        table.arm.set_scene(self._task.scenes_of(self._scenes.popleft()[None]))
        table.num_plans = 0
        self._ask(table)

    def _ask(self, table: _Table) -> None:
        """Pose the scene of now, its places in a new order."""
        config = self._task.config
        table.names = np.concatenate(
            [self._rng.permutation(config.places), config.places + self._rng.permutation(config.buffers)]
        )
        cells = self._task.cells_of(renamed(table.arm.scene, table.names[None]))[0]
        table.number = self._next_number
        self._next_number += 1
        self._cells[table.number] = (table, cells)
        self._asked.append((table.number, cells))


def table_task(config: TableWorldConfig, **options: float) -> TableTask:
    """The task whose rules judge the plans."""
    task = make_task("table", **config.options, **options)
    assert isinstance(task, TableTask)
    return task
