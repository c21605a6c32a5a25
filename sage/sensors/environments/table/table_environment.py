"""Tables to be cleared (kind: table): a reasoner plans the order, an arm moves the objects.

Sensors: NAME.puzzle (a scene that waits for a plan), NAME.result, NAME.reward (1 for a plan that keeps the
rules and clears the table, else 0), NAME.level (0). Effector: NAME.answer (a plan). A plan that breaks a
rule, or a scene that changes meanwhile, is asked for again from where the objects then stand; places have new
numbers each time. Invariants: a read never waits; equal seeds and equal answers at equal times give equal
readings. Scenes that are held out never begin; a scene in the middle of a plan may by chance equal one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.contract import Examples
from sage.mailbox.clock import Clock
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.contract import (
    Effector,
    EffectorSpec,
    Reading,
    Sensor,
    SensorContext,
    SensorError,
    SensorSpec,
)
from sage.sensors.environment import REWARD_QUANTITY, Level
from sage.sensors.environments.answer_effector import AnswerEffector, answer_spec
from sage.sensors.environments.queued_sensor import QueuedSensor
from sage.sensors.environments.table.config import TableWorldConfig
from sage.sensors.environments.table.tables import Tables, Totals, table_task
from sage.sensors.puzzle_messages import (
    PUZZLE_QUANTITY,
    RESULT_QUANTITY,
    Answer,
    Puzzle,
    Result,
    message_size,
)

LEVEL_QUANTITY = "level"
#: Nominal time between messages.
PERIOD_NS = 1_000_000


class TableEnvironment:
    """See the module. A PuzzleEnvironment."""

    Config = TableWorldConfig

    def __init__(self, config: TableWorldConfig, context: SensorContext) -> None:
        self.clock: Clock = context.clock
        self._config = config
        self._task = table_task(config)
        self._first = table_task(config, aside=1, begun=0.0)
        self._totals = Totals()
        self._tables: Tables | None = None
        self._puzzles = _SceneSensor(self, self._message_spec("puzzle", Puzzle, PUZZLE_QUANTITY))
        self._results = QueuedSensor(self._message_spec("result", Result, RESULT_QUANTITY), self.clock)
        self._rewards = QueuedSensor(
            self._spec("reward", TensorSpec(shape=(1,)), REWARD_QUANTITY), self.clock
        )
        self._levels = QueuedSensor(self._spec("level", TensorSpec(shape=(1,)), LEVEL_QUANTITY), self.clock)
        self._plans = AnswerEffector(self._plan_spec(), self.take_plan)

    @property
    def levels(self) -> tuple[Level, ...]:
        fewest, most = self._config.objects
        name = f"table of {fewest} to {most} objects" if fewest < most else f"table of {most} objects"
        options = tuple(sorted(self._config.options.items()))
        return (Level(name=name, task="table", options=options, num_cells=self._task.spec.seq_len),)

    @property
    def tables(self) -> Tables:
        """Of the open environment."""
        if self._tables is None:
            raise SensorError(f"{self._config.name}: used while closed: call open() first")
        return self._tables

    def totals(self) -> Mapping[str, int]:
        """What happened since it opened, by name; still there when it has closed."""
        return self._totals.named()

    def sensors(self) -> tuple[Sensor, ...]:
        return (self._puzzles, self._results, self._rewards, self._levels)

    def effectors(self) -> tuple[Effector, ...]:
        return (self._plans,)

    def held_out(self, level: int, num: int) -> Examples:
        """The first `num` scenes of a fixed set, none of which begins here, with their shortest plans."""
        if level != 0:
            raise InputError(f"level is {level}: give 0")
        return self._first.held_out(num)

    def open(self) -> None:
        if self._tables is not None:
            return
        self._tables = Tables(self._config, self.clock.now_ns())
        self._totals = self._tables.totals
        self._clear()
        self._levels.put(np.zeros(1))

    def close(self) -> None:
        self._tables = None
        self._clear()

    def _clear(self) -> None:
        for sensor in (self._results, self._rewards, self._levels):
            sensor.clear()

    def take_plan(self, answer: Answer) -> bool:
        """Queue its result and reward; False for a scene that waits for no plan."""
        now_ns = self.clock.now_ns()
        self.tables.advance(now_ns)
        result = self.tables.answer(answer, now_ns)
        if result is None:
            return False
        message = np.zeros(self._results.spec.tensor.shape, np.int32)
        result.write(message)
        self._results.put(message)
        self._rewards.put(np.array([float(result.is_right)]))
        return True

    def _message_spec(self, part: str, kind: type[Puzzle] | type[Result], quantity: str) -> SensorSpec:
        size = message_size(kind, self._task.spec.seq_len)
        return self._spec(part, TensorSpec(shape=(size,), dtype="int32"), quantity)

    def _spec(self, part: str, tensor: TensorSpec, quantity: str) -> SensorSpec:
        return SensorSpec(
            name=f"{self._config.name}.{part}",
            modality="cognitive",
            tensor=tensor,
            period_ns=PERIOD_NS,
            observes=(quantity, "1"),
            is_bounded=True,
        )

    def _plan_spec(self) -> EffectorSpec:
        spec, config = self._task.spec, self._config
        name = f"{config.name}.answer"
        return answer_spec(name, config.effect, config.target, room=spec.seq_len, largest=spec.vocab_size - 1)


class _SceneSensor:
    """Delivers the scenes that wait for a plan. A read lets the arms make the moves that are due."""

    def __init__(self, environment: TableEnvironment, spec: SensorSpec) -> None:
        self._environment = environment
        self._spec = spec
        self._is_open = False

    @property
    def spec(self) -> SensorSpec:
        return self._spec

    def open(self) -> None:
        self._is_open = True

    def read_into(self, out: np.ndarray) -> Reading | None:
        if not self._is_open:
            raise SensorError(f"{self._spec.name}: read while closed: call open() first")
        now_ns = self._environment.clock.now_ns()
        tables = self._environment.tables
        tables.advance(now_ns)
        puzzle = tables.next_puzzle()
        if puzzle is None:
            return None
        puzzle.write(out)
        return Reading(captured_ns=now_ns, received_ns=now_ns, sequence=puzzle.number, noise_std=0.0)

    def close(self) -> None:
        self._is_open = False
