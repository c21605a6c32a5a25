"""Open tables on a manual clock, and planners: the shortest plan, no plan, a plan that breaks a rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

from sage.mailbox.clock import ManualClock
from sage.sensors.contract import Action, SensorContext
from sage.sensors.environments.table.config import TableWorldConfig
from sage.sensors.environments.table.table_environment import TableEnvironment
from sage.sensors.environments.table.tables import table_task
from sage.sensors.puzzle_messages import Answer, Puzzle, Result

STEP_NS = 200_000_000


class Desk:
    """Reads the messages of one environment and answers them."""

    def __init__(self, config: TableWorldConfig, context: SensorContext, clock: ManualClock) -> None:
        self.environment = TableEnvironment(config, context)
        self.task = table_task(config)
        self.clock = clock
        self.sensors = {sensor.spec.name.split(".")[1]: sensor for sensor in self.environment.sensors()}
        (self.effector,) = self.environment.effectors()
        self.environment.open()
        for endpoint in (*self.sensors.values(), self.effector):
            endpoint.open()

    @property
    def totals(self) -> dict[str, int]:
        return dict(self.environment.totals())

    def read(self, part: str) -> np.ndarray | None:
        sensor = self.sensors[part]
        out = np.zeros(sensor.spec.tensor.shape, sensor.spec.tensor.dtype)
        return None if sensor.read_into(out) is None else out

    def puzzle(self) -> Puzzle | None:
        message = self.read("puzzle")
        return None if message is None else Puzzle.read(message)

    def next_puzzle(self) -> Puzzle:
        """Let the arms work until a scene waits for a plan."""
        for _ in range(200):
            puzzle = self.puzzle()
            if puzzle is not None:
                return puzzle
            self.clock.advance(STEP_NS)
        raise AssertionError("no scene waits for a plan")

    def result(self) -> Result:
        message = self.read("result")
        assert message is not None
        return Result.read(message)

    def answer(self, number: int, cells: np.ndarray) -> Action:
        values = np.zeros(self.effector.spec.tensor.shape, np.int32)
        Answer(number=number, cells=cells).write(values)
        return self.effector.apply(values, self.clock.now_ns())

    def shortest(self, cells: np.ndarray) -> np.ndarray:
        found: np.ndarray = self.task.solved(self.task.scenes_of(cells[None])).answers()[0]
        return found


@pytest.fixture
def open_desk(clock: ManualClock, context: SensorContext) -> Iterator[Callable[..., Desk]]:
    with ExitStack() as stack:

        def make(**settings: Any) -> Desk:
            quiet = {"tables": 1, "slip": 0.0, "change": 0.0}
            desk = Desk(TableWorldConfig.model_validate({**quiet, **settings}), context, clock)
            stack.callback(desk.environment.close)
            return desk

        yield make
