"""One table in MuJoCo: cubes on places in two or three arcs, moved by the arm of the environment `mujoco`.

An object in another one's way lies upon it, so it is in no other one's way and none lies upon it. The other
rules of a scene are checked before the arm moves. What a move led to is read from the simulation: a cube that
did not arrive, or that lies elsewhere than the scene has it, ends the plan. Invariant: as `Arm`.
"""

from __future__ import annotations

import numpy as np

from sage.hrm_core.tasks.table.scenes import Scenes, as_sets
from sage.hrm_core.tasks.table.task import TableTask
from sage.sensors.environments.mujoco.arm import HOME
from sage.sensors.environments.mujoco.scene import Thing
from sage.sensors.environments.mujoco.simulation import Simulation
from sage.sensors.environments.table.arm import Arm, Chances, Outcome
from sage.sensors.environments.table.carrying import Carrier

HALF_SIDE = 0.02
#: From the middle of a place, when a cube lies on it.
ON_PLACE = 0.03
#: Radius of each arc of places, the number of places, and the angle between two.
_ARCS = ((0.22, 5, 0.50), (0.31, 6, 0.36), (0.40, 7, 0.28))


class MujocoArm(Arm):
    """name: of the environment, for errors. SensorUnavailable where mujoco is missing."""

    def __init__(self, name: str, task: TableTask, chances: Chances, rng: np.random.Generator) -> None:
        super().__init__(task, chances, rng)
        num = task.config.objects[1]
        self._names = [f"cube {index}" for index in range(num)]
        things = [
            Thing(name=each, shape="box", size=HALF_SIDE, rgb=_rgb(i), is_free=True)
            for i, each in enumerate(self._names)
        ]
        self._spots = place_middles(task.config.rows)
        self.simulation = Simulation(name, tuple(things))
        self._carrier = Carrier(self.simulation, HOME)
        self._cubes: dict[int, str] = {}
        self._moving: tuple[int, int] | None = None

    def set_scene(self, scenes: Scenes) -> None:
        """scenes: of one row, as `as_pairs` gives them."""
        super().set_scene(scenes)
        here = np.flatnonzero(self.goals >= 0).tolist()
        self._cubes = dict(zip(here, self._names))
        spare = self._names[len(here) :]
        places = {name: np.array([-0.3, 0.1 * index - 0.35, HALF_SIDE]) for index, name in enumerate(spare)}
        places |= {name: self.middle_of(row) for row, name in self._cubes.items()}
        self.simulation.reset(HOME, places)
        self._carrier = Carrier(self.simulation, HOME)
        self._moving = None

    def middle_of(self, row: int) -> np.ndarray:
        """(3,) where the cube of this place is by the scene: on the place, or upon another cube."""
        under = np.flatnonzero(self.blockers >> row & 1)
        level = 3 * HALF_SIDE if len(under) else HALF_SIDE
        return np.array([*self._spots[int(under[0]) if len(under) else row], level])

    def act(self) -> tuple[Outcome, bool]:
        """One step of the controller; the outcome of the move at its end."""
        if self._moving is None:
            if not self._plan:
                return Outcome.NO_PLAN, False
            start, goal = self._plan[0]
            row = self._places[start]
            to = self._destination(row, goal)
            if to is None:
                self._plan.clear()
                return Outcome.REFUSED, False
            self._moving = row, to
            closes = self._rng.random() >= self._chances.slip
            self._carrier.begin(self._cubes[row], np.array([*self._spots[to], HALF_SIDE]), closes=closes)
        return (Outcome.WORKING, False) if self._carrier.step() else self._end(*self._moving)

    def _end(self, row: int, to: int) -> tuple[Outcome, bool]:
        self._moving = None
        place = self.simulation.place_of(self._cubes[row])
        has_arrived = bool(np.linalg.norm(place - [*self._spots[to], HALF_SIDE]) < ON_PLACE)
        if has_arrived:
            self._put(row, to)
            self._places[self._plan.popleft()[0]] = to
            self._cubes[to] = self._cubes.pop(row)
            self.num_moves += 1
        num_changes = self.num_changes
        is_as_expected = self._is_as_expected()
        if not has_arrived or not is_as_expected:
            self.num_slips += not has_arrived
            self._plan.clear()
            return (Outcome.MOVED if has_arrived else Outcome.SLIPPED), self.num_changes > num_changes
        before = self.goals.copy()
        if self._rng.random() < self._chances.change and not self.is_cleared and self._change():
            self._follow(before)
            self.num_changes += 1
            self._plan.clear()
            return Outcome.MOVED, True
        return Outcome.MOVED, False

    def _is_as_expected(self) -> bool:
        """Compare the simulation with the scene. A cube that lies on another free place has been moved by
        someone, which changes the scene; one that lies anywhere else is put back.
        """
        is_expected = True
        for row, name in list(self._cubes.items()):
            place = self.simulation.place_of(name)
            if np.linalg.norm(place - self.middle_of(row)) < ON_PLACE:
                continue
            is_expected = False
            near = np.linalg.norm(self._spots - place[:2], axis=1) < ON_PLACE
            free = np.flatnonzero(near & (self.goals < 0))
            if len(free) and place[2] < 2 * HALF_SIDE and self._accept(row, int(free[0])):
                self.num_changes += 1
            else:
                self.simulation.put({name: self.middle_of(row)})
        return is_expected

    def _accept(self, row: int, to: int) -> bool:
        """The object of `row` is at `to` from now on; False, and no change, where there is then no plan."""
        if self.blockers[row]:
            return False
        before = self.goals.copy(), self.blockers.copy()
        self._put(row, to)
        if self.shortest < 0:
            self.goals, self.blockers = before
            return False
        self._cubes[to] = self._cubes.pop(row)
        return True

    def _follow(self, before: np.ndarray) -> None:
        """Move the cube that someone has moved. before: the goals until then."""
        left, came = (
            np.flatnonzero((before >= 0) & (self.goals < 0)),
            np.flatnonzero((before < 0) & (self.goals >= 0)),
        )
        for row, to in zip(left.tolist(), came.tolist()):
            self._cubes[to] = self._cubes.pop(row)
        self.simulation.put({name: self.middle_of(row) for row, name in self._cubes.items()})

    def _stand_in_way(self) -> bool:
        """An object comes to lie upon another one; both had none upon or under them."""
        here = np.arange(len(self.goals))
        blocks = (self.blockers[:, None] >> here & 1).any(axis=0)
        is_open = (self.goals >= 0) & (self.goals != here) & (here < self._task.config.places)
        free = np.flatnonzero(is_open & (self.blockers == 0) & ~blocks)
        if len(free) < 2:
            return False
        row, other = self._rng.choice(free, size=2, replace=False)
        self.blockers[row] |= 1 << int(other)
        return True


def place_middles(num: int) -> np.ndarray:
    """(num, 2) where places are, buffers last."""
    found = [
        (radius * np.cos(angle), radius * np.sin(angle))
        for radius, count, between in _ARCS
        for angle in (np.arange(count) - (count - 1) / 2) * between
    ]
    return np.array(found[:num])


def as_pairs(scenes: Scenes) -> Scenes:
    """The scenes with at most one object in another one's way, and in the way of one that is in none's."""
    in_way = np.zeros_like(scenes.in_way)
    for found, wanted in zip(in_way, scenes.in_way):
        is_used = np.zeros(len(found), bool)
        for row, other in np.argwhere(wanted).tolist():
            if not is_used[row] and not is_used[other]:
                found[row, other] = is_used[row] = is_used[other] = True
    return Scenes(goals=scenes.goals, blockers=as_sets(in_way))


def _rgb(index: int) -> tuple[float, float, float]:
    red, green, blue = (0.2 + 0.7 * (index >> bit & 1) for bit in range(3))
    return red, green, blue
