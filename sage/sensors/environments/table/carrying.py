"""Pick and place by script: the arm of the environment `mujoco` carries one cube to another place.

The controller reads the simulation's own state; nothing is learned and nothing is trained on what it does.
Lengths in m, angles in rad, positions (3,) as in `sage.sensors.environments.mujoco.arm`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sage.sensors.environments.mujoco.arm import Workspace, jacobian, limited
from sage.sensors.environments.mujoco.simulation import Simulation

#: Simulated time of one step of the controller, and how far a joint turns in it at most.
CONTROL_SECS, STEP_ANGLE = 0.1, 0.15
_DAMPING = 0.02
#: Height of the tip above everything on the table, and the radius at which it turns from place to place.
_CLEAR, _TURN_RADIUS = 0.17, 0.30
#: From the middle of a cube to the tip that grips it; distance at which a waypoint is reached.
_ABOVE_MIDDLE, _NEAR = 0.005, 0.012
_GRIP_STEPS, _RELEASE_STEPS, _MOST_STEPS = 5, 4, 40
_WORKSPACE = Workspace(radius=(0.12, 0.45), height=(0.015, 0.40))

#: Where the tip goes, and the opening of the gripper from 0 to 1.
_Command = tuple[np.ndarray, float]


class Carrier:
    """Moves one cube at a time. targets (3,): where the joints are driven to."""

    def __init__(self, simulation: Simulation, targets: np.ndarray) -> None:
        self._simulation = simulation
        self._targets = targets.copy()
        self._way: Iterator[_Command] = iter(())

    def begin(self, cube: str, to: np.ndarray, *, closes: bool) -> None:
        """Carry the cube to where its middle is to be. closes: false, the gripper stays open and the grasp
        fails.
        """
        self._way = self._carry(cube, to, 0.0 if closes else 1.0)

    def step(self) -> bool:
        """CONTROL_SECS of the motion; False once it has ended."""
        command = next(self._way, None)
        if command is None:
            return False
        point, opening = command
        turn = _turn(self._targets, point - self._simulation.tip)
        self._targets = limited(self._targets, self._targets + turn, _WORKSPACE)
        self._simulation.advance(self._targets, opening, CONTROL_SECS)
        return True

    def _carry(self, cube: str, to: np.ndarray, grip: float) -> Iterator[_Command]:
        grasp = self._simulation.place_of(cube) + np.array([0.0, 0.0, _ABOVE_MIDDLE])
        yield from self._above(grasp, 1.0)
        yield from self._go(grasp, 1.0)
        for _ in range(_GRIP_STEPS):
            yield grasp, grip
        yield from self._go(_at(grasp, _CLEAR), grip)
        if self._simulation.place_of(cube)[2] < _CLEAR / 2:  # not held
            return
        release = to + np.array([0.0, 0.0, _ABOVE_MIDDLE + 0.003])
        yield from self._above(release, grip)
        yield from self._go(release, grip)
        for _ in range(_RELEASE_STEPS):
            yield release, 1.0
        yield from self._go(_at(release, _CLEAR), 1.0)

    def _above(self, place: np.ndarray, opening: float) -> Iterator[_Command]:
        """Up, around the base at one radius, and over the place: never near the base."""
        tip = self._simulation.tip
        yield from self._go(_at(tip, _CLEAR), opening)
        start, end = np.arctan2(tip[1], tip[0]), np.arctan2(place[1], place[0])
        for angle in np.linspace(start, end, 2 + int(abs(end - start) > 1.0)):
            yield from self._go(_polar(_TURN_RADIUS, float(angle), _CLEAR), opening)
        yield from self._go(_at(place, _CLEAR), opening)

    def _go(self, point: np.ndarray, opening: float) -> Iterator[_Command]:
        for _ in range(_MOST_STEPS):
            if float(np.linalg.norm(point - self._simulation.tip)) < _NEAR:
                return
            yield point, opening


def _turn(targets: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """(3,) how far the joints turn in one step, by damped least squares on the jacobian."""
    slopes = jacobian(targets)
    square = slopes.dot(slopes.T) + _DAMPING**2 * np.eye(3)
    turn = slopes.T.dot(np.linalg.solve(square, offset))
    limited_turn: np.ndarray = turn / max(1.0, float(np.abs(turn).max()) / STEP_ANGLE)
    return limited_turn


def _at(place: np.ndarray, height: float) -> np.ndarray:
    return np.array([place[0], place[1], height])


def _polar(radius: float, angle: float, height: float) -> np.ndarray:
    return np.array([radius * np.cos(angle), radius * np.sin(angle), height])
