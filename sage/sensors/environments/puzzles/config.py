"""The configuration of the puzzle stream: levels, teacher, window."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sage.errors import InputError
from sage.sensors.config import EnvironmentConfig
from sage.sensors.puzzle_messages import ANSWER_EFFECT, ANSWER_TARGET


class LyingTeacher(BaseModel):
    """lying: the share of the solutions shown that are wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    lying: float = Field(gt=0, le=1)


#: after: the solution is shown with the result of an answer.  never: only whether it is right.
TeacherKind = Literal["after", "never"] | LyingTeacher


class LevelConfig(BaseModel):
    """One level.

    task: a name of the task catalogue.  options: of the task.  name: in reports; None: the task and its size.
    file: puzzles to pose instead of generated ones: a CSV file, text, an .npz of mazes or a built folder.
    held_out_file: puzzles for measuring, for a level with a file.  teacher: None: that of the stream.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str = Field(min_length=1)
    options: dict[str, Any] = Field(default_factory=dict)
    name: str | None = Field(None, min_length=1)
    file: Path | None = None
    held_out_file: Path | None = None
    teacher: TeacherKind | None = None

    @model_validator(mode="after")
    def _held_out_file_with_a_file(self) -> LevelConfig:
        if self.held_out_file is not None and self.file is None:
            raise InputError(
                f"held_out_file is {self.held_out_file}: generated puzzles have a held-out set: leave it out"
            )
        return self


class PuzzlesConfig(EnvironmentConfig):
    """levels: in the order of difficulty; or task, options, file and held_out_file of a single one.

    teacher: `after` shows the solution with the result of an answer, `never` only whether it is right; of
    levels without one of their own.
    window: how many puzzles may be unanswered at a time.  first_level: index of the level it starts at.
    rate_hz: puzzles a second at most; None: the next one as soon as the window has room.
    seed: decides the puzzles, their order and the lies.
    effect, target: of the answer effector; what the policy's rules match.
    """

    kind: Literal["puzzles"] = "puzzles"
    task: str | None = Field(None, min_length=1)
    options: dict[str, Any] = Field(default_factory=dict)
    file: Path | None = None
    held_out_file: Path | None = None
    levels: tuple[LevelConfig, ...] = ()
    teacher: TeacherKind = "after"
    window: int = Field(8, ge=1, le=1024)
    first_level: int = Field(0, ge=0)
    rate_hz: float | None = Field(None, gt=0, le=1000)
    seed: int = Field(0, ge=0, lt=2**31)
    effect: str = Field(ANSWER_EFFECT, min_length=1)
    target: str = Field(ANSWER_TARGET, min_length=1)

    @model_validator(mode="after")
    def _either_levels_or_one_task(self) -> PuzzlesConfig:
        single = [
            key
            for key in ("task", "options", "file", "held_out_file")
            if getattr(self, key) not in (None, {})
        ]
        if self.levels and single:
            raise InputError(f"{single[0]} is given beside levels: move it into an entry of levels")
        if not self.levels and self.task is None:
            raise InputError("task is missing: give task, for example sudoku, or levels")
        if self.first_level >= len(self.all_levels):
            raise InputError(
                f"first_level is {self.first_level}: give 0 to {len(self.all_levels) - 1}, an index of levels"
            )
        return self

    @property
    def all_levels(self) -> tuple[LevelConfig, ...]:
        """The levels, also where a single one is given."""
        if self.levels or self.task is None:
            return self.levels
        return (
            LevelConfig(
                task=self.task, options=self.options, file=self.file, held_out_file=self.held_out_file
            ),
        )

    def teacher_of(self, level: LevelConfig) -> TeacherKind:
        """The level's own, or that of the stream."""
        return self.teacher if level.teacher is None else level.teacher
