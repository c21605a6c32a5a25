"""The sensors and the effector of an environment that poses puzzles: messages out, answers in.

Sensors: NAME.puzzle, NAME.result, NAME.reward (1 for a right answer, else 0), NAME.level. Effector:
NAME.answer. Invariant: a read never waits.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sage.mailbox.clock import Clock
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.contract import Effector, Reading, Sensor, SensorError, SensorSpec
from sage.sensors.environment import REWARD_QUANTITY
from sage.sensors.environments.answer_effector import AnswerEffector, answer_spec
from sage.sensors.environments.queued_sensor import QueuedSensor
from sage.sensors.puzzle_messages import (
    PUZZLE_QUANTITY,
    RESULT_QUANTITY,
    Answer,
    Puzzle,
    Result,
    message_size,
)

#: `SensorSpec.observes[0]` of the level in force.
LEVEL_QUANTITY = "level"
#: Nominal time between messages, where no rate is given.
PERIOD_NS = 1_000_000


class PuzzleChannels:
    """name: of the environment.  effect, target: of its answers, for the policy.

    room: cells of the largest puzzle; messages have room for them.  largest: symbol of an answer.
    next_puzzle: the next one that waits for an answer, or None.  take: gives an answer to the environment;
    False where no puzzle waits for it.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        *,
        effect: str,
        target: str,
        room: int,
        largest: int,
        next_puzzle: Callable[[], Puzzle | None],
        take: Callable[[Answer], bool],
        period_ns: int = PERIOD_NS,
    ) -> None:
        def spec(part: str, tensor: TensorSpec, quantity: str) -> SensorSpec:
            return SensorSpec(
                name=f"{name}.{part}",
                modality="cognitive",
                tensor=tensor,
                period_ns=period_ns,
                observes=(quantity, "1"),
                is_bounded=True,
            )

        def message(kind: type[Puzzle] | type[Result]) -> TensorSpec:
            return TensorSpec(shape=(message_size(kind, room),), dtype="int32")

        number = TensorSpec(shape=(1,))
        self._puzzles = _PuzzleSensor(spec("puzzle", message(Puzzle), PUZZLE_QUANTITY), clock, next_puzzle)
        self._results = QueuedSensor(spec("result", message(Result), RESULT_QUANTITY), clock)
        self._rewards = QueuedSensor(spec("reward", number, REWARD_QUANTITY), clock)
        self._levels = QueuedSensor(spec("level", number, LEVEL_QUANTITY), clock)
        answers = answer_spec(f"{name}.answer", effect, target, room=room, largest=largest)
        self._answers = AnswerEffector(answers, take)

    def sensors(self) -> tuple[Sensor, ...]:
        return (self._puzzles, self._results, self._rewards, self._levels)

    def effectors(self) -> tuple[Effector, ...]:
        return (self._answers,)

    def put_result(self, result: Result) -> None:
        """Queue a result, and its reward."""
        message = np.zeros(self._results.spec.tensor.shape, np.int32)
        result.write(message)
        self._results.put(message)
        self._rewards.put(np.array([float(result.is_right)]))

    def put_level(self, level: int) -> None:
        self._levels.put(np.array([level]))

    def clear(self) -> None:
        """Drop what is queued."""
        for sensor in (self._results, self._rewards, self._levels):
            sensor.clear()


class _PuzzleSensor:
    """Delivers the puzzles that wait for an answer, at most one a period where that is above PERIOD_NS."""

    def __init__(self, spec: SensorSpec, clock: Clock, next_puzzle: Callable[[], Puzzle | None]) -> None:
        self._spec = spec
        self._clock = clock
        self._next_puzzle = next_puzzle
        self._is_open = False
        self._due_ns = 0

    @property
    def spec(self) -> SensorSpec:
        return self._spec

    def open(self) -> None:
        self._is_open = True

    def read_into(self, out: np.ndarray) -> Reading | None:
        if not self._is_open:
            raise SensorError(f"{self._spec.name}: read while closed: call open() first")
        now_ns = self._clock.now_ns()
        if now_ns < self._due_ns:
            return None
        puzzle = self._next_puzzle()
        if puzzle is None:
            return None
        puzzle.write(out)
        if self._spec.period_ns > PERIOD_NS:
            self._due_ns = now_ns + self._spec.period_ns
        return Reading(captured_ns=now_ns, received_ns=now_ns, sequence=puzzle.number, noise_std=0.0)

    def close(self) -> None:
        self._is_open = False
