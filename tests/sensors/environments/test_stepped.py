"""A world that moves by steps: each step is read once, episodes start again, and faults stop nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from sage.errors import InputError
from sage.mailbox.clock import ManualClock
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.contract import Sensor, SensorContext, SensorError
from sage.sensors.environment import CUT_OFF, ENDED, Environment
from sage.sensors.environments.stepped import Control, Step, SteppedConfig, SteppedEnvironment, View


class Counting:
    """Shows how many steps the episode has had; the steps are as given, then plain."""

    def __init__(self, steps: Sequence[Step] = (), view: str = "count") -> None:
        self.steps = list(steps)
        self.views = (View(name=view, tensor=TensorSpec(shape=(1,)), observes=("count", "1")),)
        self.control = Control(low=(-2.0,), high=(2.0,))
        self.count = 0
        self.actions: list[float] = []

    def open(self) -> None: ...

    def close(self) -> None: ...

    def reset(self, seed: int | None) -> tuple[np.ndarray, ...]:
        self.count = 0
        return (np.zeros(1, dtype=np.float32),)

    def step(self, values: np.ndarray) -> Step:
        self.count += 1
        self.actions.append(float(values[0]))
        return self.steps.pop(0) if self.steps else step(self.count)


def step(count: float, reward: float = 0.0, *, is_over: bool = False, is_cut: bool = False) -> Step:
    views = (np.full(1, count, dtype=np.float32),)
    return Step(views=views, reward=reward, is_over=is_over, is_cut=is_cut)


def environment(world: Counting, *, has_success: bool = False) -> SteppedEnvironment:
    context = SensorContext(clock=ManualClock(), epoch_ns=0)
    made = SteppedEnvironment(SteppedConfig(kind="counting"), context, world, has_success=has_success)
    made.open()
    for device in (*made.sensors(), *made.effectors()):
        device.open()
    return made


def act(made: SteppedEnvironment, value: float = 0.0) -> None:
    (effector,) = made.effectors()
    effector.apply(np.full(1, value, dtype=np.float32), 1)


def read(sensor: Sensor) -> float | None:
    out = np.full(1, math.nan, dtype=np.float32)
    return None if sensor.read_into(out) is None else float(out[0])


def read_all(made: SteppedEnvironment) -> list[float | None]:
    return [read(sensor) for sensor in made.sensors()]


def test_it_is_an_environment_whose_parts_have_its_name() -> None:
    made = environment(Counting())
    assert isinstance(made, Environment)
    assert [sensor.spec.name for sensor in made.sensors()] == [
        "counting.count",
        "counting.reward",
        "counting.reset",
    ]
    assert [effector.spec.name for effector in made.effectors()] == ["counting.action"]


def test_each_step_is_read_once() -> None:
    made = environment(Counting([step(1, 0.5)]))
    assert read_all(made) == [0.0, 0.0, CUT_OFF]
    assert read_all(made) == [None, None, None]
    act(made)
    assert read_all(made) == [1.0, 0.5, 0.0]
    assert read_all(made) == [None, None, None]


def test_the_reward_is_that_since_the_reading_before() -> None:
    made = environment(Counting([step(1, 0.5), step(2, 0.25)]))
    read_all(made)
    act(made)
    act(made)
    assert read_all(made) == [2.0, 0.75, 0.0]


@pytest.mark.parametrize(("is_over", "expected"), [(True, ENDED), (False, CUT_OFF)])
def test_an_episode_that_ends_starts_again_and_the_reset_says_how_it_ended(
    is_over: bool, expected: float
) -> None:
    made = environment(Counting([step(1), step(2, 1.0, is_over=is_over, is_cut=not is_over)]))
    for _ in range(2):
        read_all(made)
        act(made)
    assert read_all(made) == [0.0, 1.0, expected]
    act(made)
    assert read_all(made) == [1.0, 0.0, 0.0]


def test_a_reset_between_two_readings_is_not_missed() -> None:
    made = environment(Counting([step(1, is_over=True)]))
    read_all(made)
    act(made)
    act(made)
    assert read_all(made) == [1.0, 0.0, ENDED]


def test_a_closed_world_delivers_nothing_and_takes_nothing() -> None:
    made = environment(Counting())
    made.close()
    made.close()
    assert read_all(made) == [None, None, None]
    with pytest.raises(SensorError, match="the world is closed"):
        act(made)


def test_an_effector_that_is_held_moves_nothing_and_a_nan_neither() -> None:
    world = Counting()
    made = environment(world)
    act(made, math.nan)
    (effector,) = made.effectors()
    effector.abort()
    act(made, 1.0)
    assert world.actions == []
    effector.open()
    act(made, 5.0)
    assert world.actions == [2.0]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (step(1, math.nan), "the reward is nan"),
        (Step(views=(np.zeros(2, dtype=np.float32),), reward=0.0, is_over=False, is_cut=False), r"\(2,\)"),
    ],
)
def test_a_step_that_breaks_the_contract_is_a_fault_and_the_world_starts_again(
    bad: Step, message: str
) -> None:
    made = environment(Counting([step(1), bad]))
    act(made)
    read_all(made)
    with pytest.raises(SensorError, match=message):
        act(made)
    assert read_all(made) == [None, None, None]
    (effector,) = made.effectors()
    effector.open()
    assert read_all(made) == [0.0, 0.0, CUT_OFF]
    act(made)
    assert read_all(made) == [1.0, 0.0, 0.0]


def test_readings_after_a_fault_do_not_follow_from_those_before_it() -> None:
    """However many steps the world has made again before they are read."""
    bad = step(1, math.nan)
    made = environment(Counting([step(1, 5.0), bad, step(1, 1.0), step(2, 1.0), step(3, 1.0)]))
    act(made)
    assert read_all(made) == [1.0, 5.0, CUT_OFF]
    with pytest.raises(SensorError):
        act(made)
    (effector,) = made.effectors()
    effector.open()
    for _ in range(3):
        act(made)
    assert read_all(made) == [3.0, 3.0, CUT_OFF]


def test_a_view_cannot_have_a_name_of_the_environment() -> None:
    with pytest.raises(InputError, match="'reward': rename it"):
        environment(Counting(view="reward"))


def test_an_episode_that_was_cut_off_between_two_readings_did_not_end() -> None:
    made = environment(Counting([step(1, is_cut=True)]))
    read_all(made)
    act(made)
    act(made)
    assert read_all(made) == [1.0, 0.0, CUT_OFF]


def test_a_success_between_two_readings_is_not_missed() -> None:
    done = Step(views=step(1).views, reward=1.0, is_over=True, is_cut=False, is_success=True)
    made = environment(Counting([step(1), done, step(1), step(2)]), has_success=True)
    assert read_all(made) == [0.0, 0.0, CUT_OFF, 0.0]
    for _ in range(3):
        act(made)
    assert read_all(made) == [1.0, 1.0, ENDED, 1.0]
    act(made)
    assert read_all(made) == [2.0, 0.0, 0.0, 0.0]


def test_a_sensor_that_is_opened_again_repeats_no_reward() -> None:
    """As its driver does after a fault, while the world goes on."""
    made = environment(Counting([step(1, 5.0), step(2, 0.5)]))
    act(made)
    assert read_all(made) == [1.0, 5.0, CUT_OFF]
    for sensor in made.sensors():
        sensor.close()
        sensor.open()
    assert read_all(made) == [None, None, None]
    act(made)
    assert read_all(made) == [2.0, 0.5, 0.0]
