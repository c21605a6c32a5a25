"""Tables to be cleared (kind: table): a reasoner plans the order, an arm moves the objects.

Sensors: NAME.puzzle (a scene that waits for a plan), NAME.result, NAME.reward (1 for a plan that keeps the
rules and clears the table, else 0), NAME.level (0). Effector: NAME.answer (a plan). A plan that breaks a
rule, or a scene that changes meanwhile, is asked for again from where the objects then stand; places have new
numbers each time. Invariants: a read never waits; equal seeds and equal answers at equal times give equal
readings. Scenes that are held out never begin; a scene in the middle of a plan may by chance equal one.
"""

from __future__ import annotations

from collections.abc import Mapping

from sage.errors import InputError
from sage.hrm_core.tasks.contract import Examples
from sage.mailbox.clock import Clock
from sage.sensors.contract import Effector, Sensor, SensorContext, SensorError
from sage.sensors.environment import Level
from sage.sensors.environments.puzzle_channels import PuzzleChannels
from sage.sensors.environments.table.config import TableWorldConfig
from sage.sensors.environments.table.tables import Tables, Totals, table_task
from sage.sensors.puzzle_messages import Answer, Puzzle


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
        self._channels = PuzzleChannels(
            config.name,
            self.clock,
            effect=config.effect,
            target=config.target,
            room=self._task.spec.seq_len,
            largest=self._task.spec.vocab_size - 1,
            next_puzzle=self._next_puzzle,
            take=self.take_plan,
        )

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
        return self._channels.sensors()

    def effectors(self) -> tuple[Effector, ...]:
        return self._channels.effectors()

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
        self._channels.clear()
        self._channels.put_level(0)

    def close(self) -> None:
        self._tables = None
        self._channels.clear()

    def take_plan(self, answer: Answer) -> bool:
        """Queue its result and reward; False for a scene that waits for no plan."""
        now_ns = self.clock.now_ns()
        self.tables.advance(now_ns)
        result = self.tables.answer(answer, now_ns)
        if result is None:
            return False
        self._channels.put_result(result)
        return True

    def _next_puzzle(self) -> Puzzle | None:
        """A scene that waits for a plan, after the arms have made the moves that are due."""
        self.tables.advance(self.clock.now_ns())
        return self.tables.next_puzzle()
