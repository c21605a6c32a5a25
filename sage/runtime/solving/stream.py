"""What the loop needs of one puzzle environment, as the app builds it.

Invariant: no type here is a concrete environment, task or learner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sage.errors import InputError
from sage.hrm_core.model_family import ModelFamily
from sage.hrm_core.tasks.contract import Examples, Task
from sage.runtime.solving.learner import PuzzleLearner
from sage.sensors.contract import Effector
from sage.sensors.driver.sensor_driver import SensorDriver
from sage.sensors.environment import Resumable


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLevel:
    """name: as reports show it.  task: from the catalogue, with the level's options; its rules judge the
    solutions that a teacher shows, and answers where `solving.asks_rules` allows that.
    held_out: the first so many puzzles that the stream never poses, with their solutions, which check weights
    on offer; None: those of the task. InputError where there are none.
    """

    name: str
    task: Task
    held_out: Callable[[int], Examples] | None = None

    def examples(self, num: int) -> Examples | None:
        """At most `num` held-out puzzles, None where there are none."""
        try:
            return (self.held_out or self.task.held_out)(num)
        except InputError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class PuzzleStream:
    """One puzzle environment in `LoopInputs.streams`.

    name: of the environment.  levels: in the order of the environment's own, which messages index.
    puzzle, result, reward: drivers of the sensors whose readings are `Puzzle` and `Result` messages, and one
    number. Only the solver reads them, each reading once and in order; in one poll the result of an answer is
    delivered with its reward. They are not in `LoopInputs.drivers`, so that they are no sources of the
    observation model (a run without the stream has the same snapshots), and they publish to a ring of
    records of their own. Their mailboxes need room for the messages of one tick (8 slots).
    level: driver of a sensor that delivers the index of the level in force at each move, where there is one.
    answer: the effector that takes `Answer` messages. It is not in `LoopInputs.effectors`, so that it is no
    part of the action vector; the policy judges it like any other, by its effect and target.
    family: the model of each level, member i for level i, from `sage.runtime.solving.models.family_for`. The
    solver owns these weights.
    world: the state of the environment, for a snapshot; None for one that begins anew in each run.
    learner: made for models of the same `family.configs`; the loop opens it with the family's weights, and
    closes it.
    checks_labels: a solution that the task's rules refuse reaches no experience.
    """

    name: str
    levels: Sequence[StreamLevel]
    puzzle: SensorDriver
    result: SensorDriver
    reward: SensorDriver
    answer: Effector
    family: ModelFamily
    learner: PuzzleLearner
    level: SensorDriver | None = None
    world: Resumable | None = None
    checks_labels: bool = True
