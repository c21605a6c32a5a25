"""A scripted policy for every task: the tip is led along waypoints by damped least squares on the jacobian.

It reads the simulation's own state. For comparison only: nothing is trained on what it does.
"""

from __future__ import annotations

import numpy as np

from sage.sensors.environments.mujoco import arm
from sage.sensors.environments.mujoco.mujoco_world import MujocoWorld

_DAMPING = 0.02
_CLEAR = 0.12  # m above the table: over the cube
_GRASP = 0.025  # height of the tip on the cube
_NEAR = 0.02
_BEHIND = 0.07  # m from the cube's middle, where a push begins


class ScriptedPolicy:
    """`act` gives the action of each step. Used by the thread of its world."""

    def __init__(self, world: MujocoWorld) -> None:
        self._world = world
        self._stage = 0
        self._work: object = None

    def act(self) -> np.ndarray:
        """(channels,) float32 in -1..1."""
        if self._work is not self._world.work:  # a new episode
            self._work, self._stage = self._world.work, 0
        goal, opening = self._waypoint()
        q = self._world.targets
        jacobian, offset = arm.jacobian(q), goal - self._world.simulation.tip
        square = jacobian.dot(jacobian.T) + _DAMPING**2 * np.eye(3)
        turn = jacobian.T.dot(np.linalg.solve(square, offset)) / self._world.step_angle
        turn /= max(1.0, float(np.abs(turn).max()))
        num = len(self._world.control.low)
        return np.array([*turn, opening][:num], dtype=np.float32)

    def _waypoint(self) -> tuple[np.ndarray, float]:
        """Where the tip goes now, and the gripper's command."""
        simulation, work = self._world.simulation, self._world.work
        place = simulation.place_of(work.goal.object)
        if work.goal.task == "reach":
            return place, 1.0
        destination = work.destination(simulation)
        return self._push(place, destination) if work.goal.task == "push" else self._carry(place, destination)

    def _push(self, place: np.ndarray, destination: np.ndarray) -> tuple[np.ndarray, float]:
        way = destination - place
        way[2] = 0.0
        ahead = way / max(float(np.linalg.norm(way)), 1e-6)
        behind = place - _BEHIND * ahead
        points = (_at(behind, _CLEAR), _at(behind, _GRASP), _at(destination - 0.02 * ahead, _GRASP))
        self._advance(points[self._stage], 2)
        return points[self._stage], -1.0

    def _carry(self, place: np.ndarray, destination: np.ndarray) -> tuple[np.ndarray, float]:
        simulation = self._world.simulation
        is_held = bool(simulation.touch[:2].min() > 0.1)
        stages = (
            (_at(place, _CLEAR), 1.0),
            (_at(place, _GRASP), 1.0),
            (_at(place, _GRASP), -1.0),
            (_at(place, _CLEAR), -1.0),
            (_at(destination, _CLEAR), -1.0),
            (_at(destination, _GRASP + 0.004), -1.0),
            (_at(destination, _GRASP + 0.004), 1.0),
            (_at(destination, _CLEAR), 1.0),
        )
        if self._stage == 2:
            self._stage += is_held
        elif self._stage == 3:
            self._stage += bool(simulation.tip[2] > 0.1)
        elif self._stage == 6:
            self._stage += bool(simulation.opening > 0.9)
        else:
            self._advance(stages[self._stage][0], len(stages) - 1)
        point, opening = stages[self._stage]
        if self._stage == 3:
            point = _at(simulation.tip, _CLEAR)
        return point, opening

    def _advance(self, point: np.ndarray, last: int) -> None:
        if self._stage < last and float(np.linalg.norm(point - self._world.simulation.tip)) < _NEAR:
            self._stage += 1


def _at(place: np.ndarray, height: float) -> np.ndarray:
    return np.array([place[0], place[1], height])
