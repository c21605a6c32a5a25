"""The tasks of the arm: where things lie at the start, how far the work is, and when it is done.

A task gives a distance to go in m, made of parts that shrink as the work goes on; the reward of a step is by
how much it shrank. Invariant: a `Work` reads the simulation and never changes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sage.sensors.environments.mujoco.instructions import DIRECTIONS, Goal
from sage.sensors.environments.mujoco.scene import THINGS
from sage.sensors.environments.mujoco.simulation import Simulation, rest_height

#: How far a push is, how high the cube is lifted, and how near the tip is to what it holds, in m.
PUSH_LENGTH, LIFT_HEIGHT, HOLD_RADIUS = 0.12, 0.05, 0.03
#: From the middle of the cube to the pad's, and above the table, when it lies on the pad.
_PLACE_RADIUS, _PLACE_HEIGHT = 0.045, 0.03
#: Least distance between two things on the table.
_MIN_GAP = 0.11


def draw_places(random: np.random.Generator) -> dict[str, np.ndarray]:
    """A place (3,) for each of THINGS: balls in the air, the cube and the pad on the table, all in reach."""
    places: dict[str, np.ndarray] = {}
    for thing in THINGS:
        is_ball = thing.shape == "sphere"
        while True:
            radius, yaw = random.uniform(0.22, 0.38), random.uniform(-0.9, 0.9)
            height = random.uniform(0.08, 0.28) if is_ball else rest_height(thing)
            place = np.array([radius * math.cos(yaw), radius * math.sin(yaw), height])
            if all(float(np.linalg.norm((place - other)[:2])) > _MIN_GAP for other in places.values()):
                break
        places[thing.name] = place
    return places


@dataclass(slots=True)
class Work:
    """One episode's task. start: (3,) where the object was.  was_lifted: it has been LIFT_HEIGHT high."""

    goal: Goal
    start: np.ndarray
    success_radius: float
    was_lifted: bool = False

    def note(self, simulation: Simulation) -> None:
        """Call once after each step."""
        lifted = simulation.place_of(self.goal.object)[2] - self.start[2]
        self.was_lifted |= self.goal.task == "pick_and_place" and bool(lifted >= LIFT_HEIGHT)

    def destination(self, simulation: Simulation) -> np.ndarray:
        """(3,) where the object is to be; for reach the object is where it is to be."""
        if self.goal.task == "push" and self.goal.direction is not None:
            pushed: np.ndarray = self.start + PUSH_LENGTH * np.array([*DIRECTIONS[self.goal.direction], 0.0])
            return pushed
        if self.goal.task == "pick_and_place":
            above: np.ndarray = simulation.place_of("pad") + np.array([0.0, 0.0, self.start[2]])
            return above
        return simulation.place_of(self.goal.object)

    def remaining(self, simulation: Simulation) -> float:
        """The distance to go: from the hand to the object, and from the object to its destination."""
        place = simulation.place_of(self.goal.object)
        to_object = float(np.linalg.norm(place - simulation.tip))
        if self.goal.task == "reach":
            return to_object
        way = float(np.linalg.norm((self.destination(simulation) - place)[:2]))
        if self.goal.task == "push":
            return 0.5 * to_object + way
        lift = 0.0 if self.was_lifted else max(0.0, LIFT_HEIGHT - float(place[2] - self.start[2]))
        return 0.5 * to_object + way + 2.0 * lift

    def is_done(self, simulation: Simulation) -> bool:
        """Reached: the tip is within success_radius of the object. Pushed: the object is within it of its
        destination. Placed: it was lifted, lies on the pad, and no finger touches it.
        """
        place = simulation.place_of(self.goal.object)
        if self.goal.task == "reach":
            return bool(np.linalg.norm(place - simulation.tip) < self.success_radius)
        way = float(np.linalg.norm((self.destination(simulation) - place)[:2]))
        if self.goal.task == "push":
            return way < self.success_radius
        is_free = not simulation.touch[:2].any()
        return self.was_lifted and way < _PLACE_RADIUS and place[2] < _PLACE_HEIGHT and is_free
