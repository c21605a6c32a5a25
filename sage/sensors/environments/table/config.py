"""The configuration of the tables: scenes, the arm that executes plans, what changes meanwhile."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from sage.errors import InputError
from sage.hrm_core.tasks.table.config import TableConfig
from sage.sensors.config import EnvironmentConfig
from sage.sensors.puzzle_messages import ANSWER_EFFECT, ANSWER_TARGET


class TableWorldConfig(EnvironmentConfig):
    """objects, places, buffers, blocked: of a scene, as in the task `table`. A scene begins with no object in
    a buffer, and needs one.

    tables: side by side, each with an arm of its own; so many plans may be asked for at a time.
    executor: `rules` makes a move in an instant, `mujoco` with the simulated arm of the environment `mujoco`,
    which needs the extra `robot` and no renderer; there an object in another one's way lies upon it.
    move_secs: time of one move, with `mujoco` of one step of the arm's controller (0.1 s of simulation).
    slip: chance that an object falls back to where it stood, with `mujoco` that the gripper does not close.
    change: chance after each move that the scene changes: an object is put back on the table, or another one
    stands in the way.  max_plans: plans for a scene, at most, one more for each change.
    teacher: `after` shows the shortest plan with the result of a plan, `never` only whether it was right.
    seed: decides scenes, slips and changes.  effect, target: of the plan; what the policy's rules match.
    """

    kind: Literal["table"] = "table"
    objects: tuple[int, int] = (5, 8)
    places: int = 8
    buffers: int = 1
    blocked: float = 0.3
    executor: Literal["rules", "mujoco"] = "rules"
    tables: int = Field(8, ge=1, le=1024)
    move_secs: float = Field(0.2, gt=0, le=3600)
    slip: float = Field(0.05, ge=0, lt=1)
    change: float = Field(0.05, ge=0, le=1)
    max_plans: int = Field(4, ge=1, le=1000)
    teacher: Literal["after", "never"] = "after"
    seed: int = Field(0, ge=0, lt=2**31)
    effect: str = Field(ANSWER_EFFECT, min_length=1)
    target: str = Field(ANSWER_TARGET, min_length=1)

    @model_validator(mode="after")
    def _a_scene_can_be_drawn(self) -> TableWorldConfig:
        try:
            TableConfig(**self.options)
        except InputError as error:
            raise InputError(f"{error}") from error
        return self

    @property
    def options(self) -> dict[str, Any]:
        """Of the task `table`."""
        return {
            "objects": self.objects,
            "places": self.places,
            "buffers": self.buffers,
            "blocked": self.blocked,
        }
