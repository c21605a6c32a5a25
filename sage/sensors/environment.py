"""The contract of environments: a world that answers back, as sensors and effectors that share its state.

A run reads an environment only through its sensors and changes it only through its effectors. Invariants: the
specs of both are known before it opens; equal seeds and equal actions give equal readings on a manual clock;
a world that starts again delivers a reading that says so (`RESET_QUANTITY`). Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from sage.hrm_core.tasks.contract import Examples
from sage.sensors.contract import Effector, Sensor

if TYPE_CHECKING:
    from typing_extensions import Self

#: `SensorSpec.observes[0]` of a reading (1,) that is ENDED or CUT_OFF when the world has started again,
#: else 0.
RESET_QUANTITY = "reset"
#: The world came to an end of its own (nothing follows), or was cut off, for example by a time limit.
ENDED, CUT_OFF = 1.0, 2.0
#: `SensorSpec.observes[0]` of a reading (1,): the reward since the reading before.
REWARD_QUANTITY = "reward"
#: `SensorSpec.observes[0]` of a reading (1,): 1 where the episode that has ended since the reading before
#: reached its goal, else 0. An environment without it states no success.
SUCCESS_QUANTITY = "success"
#: Of readings that state what has happened since the one before: none of them may be skipped.
EVENT_QUANTITIES = (REWARD_QUANTITY, RESET_QUANTITY, SUCCESS_QUANTITY)


@runtime_checkable
class Environment(Protocol):
    """One world. Constructed as `kind(config, context)`; its own driver opens, uses and closes it.

    The sensors and effectors are made with the environment, not at each call, and use its state.
    """

    def sensors(self) -> tuple[Sensor, ...]:
        """Named NAME.part, where NAME is the environment's name in the configuration."""
        ...

    def effectors(self) -> tuple[Effector, ...]: ...

    def open(self) -> None:
        """Take the world, in its first state. Raises SensorUnavailable with a remedy."""
        ...

    def close(self) -> None:
        """Safe to call twice, and after a failed open. A closed world delivers nothing."""
        ...


@runtime_checkable
class PartialEnvironment(Environment, Protocol):
    """An environment that works without a part of it that this machine lacks, for example a camera."""

    @property
    def missing(self) -> tuple[tuple[str, str], ...]:
        """(name of the sensor, reason in one line) of each part that is left out."""
        ...


@runtime_checkable
class Perturbable(Protocol):
    """The `Config` of an environment in which a night can dream: it offers copies of the environment."""

    def perturbed(self, amount: float, seed: int) -> Self:
        """The settings of a copy with the same sensors and effectors, whose episodes are drawn from `seed`
        and whose world differs by `amount`, 0 (not at all) to 1.
        """
        ...


@runtime_checkable
class Resumable(Protocol):
    """An environment that goes on after a restart where it was: for a snapshot of the run."""

    def state(self) -> dict[str, np.ndarray]:
        """Copies; empty while closed."""
        ...

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Begin there at the next `open`. InputError, and nothing changed, where it does not fit."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Episodes of a policy that is compared with. policy: for example "random"."""

    policy: str
    num_succeeded: int
    num_episodes: int


@runtime_checkable
class ComparedEnvironment(Environment, Protocol):
    """An environment with policies to compare the loop's with."""

    def baselines(self, num_episodes: int) -> tuple[Baseline, ...]:
        """So many episodes of each, in a world of its own; nothing may be trained on them. The environment
        need not be open.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A kind of puzzle in a stream: a task of the catalogue with its options.

    name: as reports show it, for example "sudoku 4x4".  task: a key of the task catalogue.
    options: its settings.  num_cells: of one puzzle.
    """

    name: str
    task: str
    options: tuple[tuple[str, Any], ...]
    num_cells: int


@runtime_checkable
class Counting(Protocol):
    """An environment that counts what happens in it, for reports."""

    def totals(self) -> Mapping[str, int]:
        """Counts since it opened, by name, for example "finished"; still there when it has closed."""
        ...


@runtime_checkable
class PuzzleEnvironment(Environment, Protocol):
    """An environment that poses puzzles, in messages of `sage.sensors.puzzle_messages`.

    It has the sensors NAME.puzzle, NAME.result and NAME.reward and the effector NAME.answer; a further sensor
    NAME.level delivers the index of the level in force, at the start and at each move.
    """

    @property
    def levels(self) -> tuple[Level, ...]:
        """In the order of difficulty; a message gives the index."""
        ...

    def held_out(self, level: int, num: int) -> Examples:
        """The first `num` (or all there are) puzzles of a level that the stream never poses, with solutions.

        For measuring; must not be trained on. InputError for a level without any.
        """
        ...
