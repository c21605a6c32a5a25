"""A text instruction and the goal that it names: a task, an object and a direction or place.

Invariant: equal texts but for case and spaces give equal goals; a text that names no goal is an InputError
with the ones that do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sage.errors import InputError

Task = Literal["reach", "push", "pick_and_place"]
TASKS: tuple[Task, ...] = ("reach", "push", "pick_and_place")
OBJECTS = ("red ball", "green ball", "cube", "pad")
#: Unit vectors on the table, as seen from the base.
DIRECTIONS: dict[str, tuple[float, float]] = {
    "left": (0.0, 1.0),
    "right": (0.0, -1.0),
    "away": (1.0, 0.0),
    "closer": (-1.0, 0.0),
}
FORMS = (
    "reach the OBJECT (red ball, green ball, cube, pad)",
    "push the cube DIRECTION (to the left, to the right, away, closer)",
    "pick up the cube and place it on the pad",
)
_OBJECT = "|".join(OBJECTS)
_REACH = re.compile(rf"(?:reach|touch)(?: for)? the (?P<object>{_OBJECT})")
_PUSH = re.compile(r"push the cube (?:to the )?(?P<direction>left|right|away|closer)")
_PICK = re.compile(r"pick up the cube and (?:place|put) it on the pad")
#: Names of the elements of `Goal.vector`.
GOAL_CHANNELS = (
    *TASKS,
    *(name.replace(" ", "_") for name in OBJECTS),
    *DIRECTIONS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """object: what the hand acts on.  direction: of a push, else None."""

    task: Task
    object: str
    direction: str | None = None

    @property
    def vector(self) -> np.ndarray:
        """(11,) float32: one-hot task, object and direction, in the order of GOAL_CHANNELS."""
        chosen = {self.task, self.object, self.direction}
        hot = [name in chosen for name in (*TASKS, *OBJECTS, *DIRECTIONS)]
        return np.array(hot, dtype=np.float32)


def goal_of(text: str) -> Goal:
    """The goal of an instruction, for example "reach the red ball"."""
    plain = " ".join(text.lower().replace(".", " ").split())
    if found := _REACH.fullmatch(plain):
        return Goal(task="reach", object=found["object"])
    if found := _PUSH.fullmatch(plain):
        return Goal(task="push", object="cube", direction=found["direction"])
    if _PICK.fullmatch(plain):
        return Goal(task="pick_and_place", object="cube")
    raise InputError(f"instruction {text!r}: names no goal: give one of: {'; '.join(FORMS)}")
