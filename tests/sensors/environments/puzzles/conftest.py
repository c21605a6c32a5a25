"""An open puzzle environment on a manual clock, and a solver that answers right or wrong."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from sage.mailbox.clock import ManualClock
from sage.sensors.contract import Action, SensorContext
from sage.sensors.environments.puzzles.config import PuzzlesConfig
from sage.sensors.environments.puzzles.puzzles_environment import PuzzlesEnvironment
from sage.sensors.puzzle_messages import Answer, Puzzle, Result

FOUR = {"task": "sudoku", "options": {"size": 4}}


class Desk:
    """Reads the messages of one environment and answers them."""

    def __init__(self, environment: PuzzlesEnvironment, clock: ManualClock) -> None:
        self.environment = environment
        self.clock = clock
        self.sensors = {sensor.spec.name.split(".")[1]: sensor for sensor in environment.sensors()}
        (self.effector,) = environment.effectors()
        environment.open()
        for endpoint in (*self.sensors.values(), self.effector):
            endpoint.open()

    def read(self, part: str) -> np.ndarray | None:
        sensor = self.sensors[part]
        out = np.zeros(sensor.spec.tensor.shape, sensor.spec.tensor.dtype)
        return None if sensor.read_into(out) is None else out

    def puzzle(self) -> Puzzle:
        message = self.read("puzzle")
        assert message is not None
        return Puzzle.read(message)

    def result(self) -> Result:
        message = self.read("result")
        assert message is not None
        return Result.read(message)

    def answer(self, number: int, cells: np.ndarray) -> Action:
        values = np.zeros(self.effector.spec.tensor.shape, np.int32)
        Answer(number=number, cells=cells).write(values)
        return self.effector.apply(values, self.clock.now_ns())

    def abstain(self, number: int) -> Action:
        return self.answer(number, np.zeros(0, np.int32))


@pytest.fixture
def open_desk(clock: ManualClock, context: SensorContext) -> Iterator[Callable[..., Desk]]:
    desks: list[Desk] = []

    def make(**settings: Any) -> Desk:
        config = PuzzlesConfig.model_validate({**(FOUR if "levels" not in settings else {}), **settings})
        desks.append(Desk(PuzzlesEnvironment(config, context), clock))
        return desks[-1]

    yield make
    for desk in desks:
        with closing(desk.environment):
            pass
