"""The kit for environments: the built-in ones keep their contract, and each breach is found by its check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sage.mailbox.clock import ManualClock
from sage.sensors.contract import Reading, SensorContext
from sage.sensors.environments.key_door import KeyDoorConfig, KeyDoorEnvironment
from sage.sensors.environments.puzzles.config import PuzzlesConfig
from sage.sensors.environments.puzzles.puzzles_environment import PuzzlesEnvironment
from sage.sensors.environments.table.config import TableWorldConfig
from sage.sensors.environments.table.table_environment import TableEnvironment
from sage.sensors.testing.environment_conformance import ENVIRONMENT_CHECKS, check_environment
from sage.sensors.testing.faulty_environment import FaultyConfig, FaultyEnvironment

BUILT_IN: dict[str, Callable[[SensorContext], Any]] = {
    "puzzles": lambda context: PuzzlesEnvironment(
        PuzzlesConfig(task="sudoku", options={"size": 4}, teacher="never"), context
    ),
    "table": lambda context: TableEnvironment(TableWorldConfig(teacher="never"), context),
    "key_door": lambda context: KeyDoorEnvironment(KeyDoorConfig(), context),
    "faulty": lambda context: FaultyEnvironment(FaultyConfig(), context),
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_environment_keeps_its_contract(
    name: str, clock: ManualClock, context: SensorContext
) -> None:
    results = check_environment(lambda: BUILT_IN[name](context), clock=clock)
    assert [result.name for result in results] == list(ENVIRONMENT_CHECKS)
    assert not [f"{result.name}: {result.detail}" for result in results if not result.is_ok]


def test_an_environment_of_gymnasium_keeps_its_contract(clock: ManualClock, context: SensorContext) -> None:
    pytest.importorskip("gymnasium")
    from sage.sensors.environments.gymnasium_world import GymnasiumConfig, GymnasiumEnvironment

    config = GymnasiumConfig(id="CartPole-v1")
    results = check_environment(lambda: GymnasiumEnvironment(config, context), clock=clock)
    assert not [f"{result.name}: {result.detail}" for result in results if not result.is_ok]


class NeverTheSame(FaultyEnvironment):
    """Its reward differs from instance to instance."""

    num_made = 0

    def __init__(self, config: FaultyConfig, context: SensorContext) -> None:
        super().__init__(config, context)
        NeverTheSame.num_made += 1
        self._bias = float(NeverTheSame.num_made)

    def step(self, value: float) -> None:
        super().step(value + self._bias)


class DeafToAbort(FaultyEnvironment):
    """Its effector acts after `abort`."""

    def effectors(self) -> Any:
        (effector,) = super().effectors()
        effector.abort = lambda: None  # type: ignore[method-assign]
        return (effector,)


class TalksWhenClosed(FaultyEnvironment):
    """A sensor delivers without a world."""

    def sensors(self) -> Any:
        sensors = super().sensors()

        def read_into(out: np.ndarray) -> Reading:
            out[:] = 1.0
            return Reading(captured_ns=0, received_ns=0, sequence=0)

        sensors[0].read_into = read_into  # type: ignore[method-assign]
        return sensors


class NewSensorsAtEachCall(FaultyEnvironment):
    """Its sensors do not share its state."""

    def sensors(self) -> Any:
        return FaultyEnvironment(self._config, self._context).sensors()

    def __init__(self, config: FaultyConfig, context: SensorContext) -> None:
        super().__init__(config, context)
        self._context = context


BREACHES: dict[str, tuple[type[FaultyEnvironment], dict[str, Any]]] = {
    "equal_actions_give_equal_readings": (NeverTheSame, {}),
    "held_actions_change_nothing": (DeafToAbort, {}),
    "closed_it_delivers_nothing": (TalksWhenClosed, {}),
    "specs_are_known_before_open": (NewSensorsAtEachCall, {}),
    "readings_are_finite_and_in_order": (FaultyEnvironment, {"fault": "nan"}),
    "a_reset_is_delivered": (FaultyEnvironment, {"fault": "raise"}),
}


@pytest.mark.parametrize("check", BREACHES)
def test_a_breach_fails_its_check(check: str, clock: ManualClock, context: SensorContext) -> None:
    kind, settings = BREACHES[check]
    config = FaultyConfig.model_validate(settings)
    results = check_environment(lambda: kind(config, context), clock=clock)
    assert check in [result.name for result in results if not result.is_ok]


def test_an_environment_that_hangs_is_a_result(clock: ManualClock, context: SensorContext) -> None:
    config = FaultyConfig(fault="hang")
    results = check_environment(lambda: FaultyEnvironment(config, context), clock=clock, timeout_secs=0.5)
    assert any("hangs" in result.detail for result in results)
