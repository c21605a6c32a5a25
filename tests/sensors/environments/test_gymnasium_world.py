"""Environments of gymnasium; its spaces need gymnasium, the extra `robot`."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sage.errors import DataError, InputError
from sage.mailbox.clock import ManualClock
from sage.sensors.contract import SensorContext, SensorError, SensorUnavailable
from sage.sensors.environment import CUT_OFF, ENDED
from sage.sensors.environments.gymnasium_spaces import action_control, observation_parts
from sage.sensors.environments.gymnasium_world import GymnasiumConfig, GymnasiumEnvironment


def make(**settings: Any) -> GymnasiumEnvironment:
    context = SensorContext(clock=ManualClock(), epoch_ns=0)
    return GymnasiumEnvironment(GymnasiumConfig(**settings), context)


def opened(made: GymnasiumEnvironment) -> GymnasiumEnvironment:
    made.open()
    for device in (*made.sensors(), *made.effectors()):
        device.open()
    return made


def play(made: GymnasiumEnvironment, num_steps: int) -> Iterator[list[list[float]]]:
    """Push to one side, always; the readings of each step."""
    (effector,) = made.effectors()
    for tick in range(num_steps):
        readings = []
        for sensor in made.sensors():
            out = np.zeros(sensor.spec.tensor.shape, dtype=sensor.spec.tensor.dtype)
            assert sensor.read_into(out) is not None
            readings.append(out.tolist())
        yield readings
        effector.apply(effector.spec.limited(np.ones(effector.spec.size)), tick)


def test_without_gymnasium_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "gymnasium":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SensorUnavailable, match=r"pip install 'sage-runtime\[robot\]'"):
        make(id="CartPole-v1")


def test_cart_pole_ends_and_starts_again() -> None:
    pytest.importorskip("gymnasium")
    channels = ("position", "speed", "angle", "turn")
    made = opened(make(id="CartPole-v1", channels=channels))
    spec = made.sensors()[0].spec
    assert spec.channels == channels
    (effector,) = made.effectors()
    assert effector.spec.choices == (2,)
    readings = list(play(made, 40))
    ends = [tick for tick, (_, _, reset) in enumerate(readings) if reset == [ENDED]]
    assert ends
    assert all(reward == [1.0] for _, reward, _ in readings[1:])
    assert all(abs(readings[tick][0][2]) <= 0.05 for tick in ends)  # a first state: within 0.05 of upright


def test_a_time_limit_cuts_off() -> None:
    pytest.importorskip("gymnasium")
    made = opened(make(id="CartPole-v1", kwargs={"max_episode_steps": 3}))
    assert [reset for _, _, reset in play(made, 5)] == [[CUT_OFF], [0.0], [0.0], [CUT_OFF], [0.0]]


def test_equal_seeds_and_actions_give_equal_readings() -> None:
    pytest.importorskip("gymnasium")
    runs = [list(play(opened(make(id="CartPole-v1", seed=seed)), 60)) for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_it_opens_again_after_close() -> None:
    pytest.importorskip("gymnasium")
    made = opened(make(id="CartPole-v1"))
    first = list(play(made, 5))
    made.close()
    assert made.sensors()[0].read_into(np.zeros(4, dtype=np.float32)) is None
    assert list(play(opened(made), 5)) == first


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"id": "Nope-v1"}, "Nope-v1 with kwargs {} cannot be made"),
        ({"id": "CartPole-v1", "kwargs": {"gravity": 1}}, "unexpected keyword"),
        ({"id": "CartPole-v1", "channels": ("one",)}, "give a name for each number"),
    ],
)
def test_a_wrong_configuration_is_one_line(settings: dict[str, Any], message: str) -> None:
    pytest.importorskip("gymnasium")
    with pytest.raises(InputError, match=message) as caught:
        make(**settings)
    assert "\n" not in str(caught.value)


def test_spaces_become_views() -> None:
    spaces = pytest.importorskip("gymnasium.spaces")
    space = spaces.Dict(
        {
            "camera": spaces.Box(0, 255, (8, 9, 3), np.uint8),
            "gauge": spaces.Box(-1, 1, (), np.float64),
            "pair": spaces.Tuple((spaces.Discrete(3, start=1), spaces.MultiBinary(2))),
        }
    )
    parts = {part.view.name: part for part in observation_parts(space)}
    observation = {
        "camera": np.full((8, 9, 3), 7, np.uint8),
        "gauge": np.array(0.5),
        "pair": (2, np.array([1, 0], np.int8)),
    }
    arrays = {name: part.read(observation) for name, part in parts.items()}
    assert {name: (array.shape, array.dtype.name) for name, array in arrays.items()} == {
        name: (part.view.tensor.shape, part.view.tensor.dtype) for name, part in parts.items()
    }
    assert parts["camera"].view.observes[0] == "image"
    assert arrays["gauge"].tolist() == [0.5]
    assert arrays["pair.0"].tolist() == [0.0, 1.0, 0.0]
    assert arrays["pair.1"].tolist() == [0.0, 1.0, 1.0, 0.0]


def test_a_number_outside_its_space_is_refused_and_no_other_channel_is_set() -> None:
    spaces = pytest.importorskip("gymnasium.spaces")
    cases = [
        (spaces.Discrete(3, start=1), (0, 4)),
        (spaces.MultiDiscrete([2, 3]), ([2, 0], [0, -1], [0])),
        (spaces.MultiBinary(2), ([1, 2],)),
    ]
    for space, wrong in cases:
        (part,) = observation_parts(space)
        for values in wrong:
            with pytest.raises(DataError, match=r"^observation is .*: expected \d numbers from"):
                part.read(values)
    (part,) = observation_parts(spaces.Discrete(3, start=1))
    for value in (np.uint64(2), 2.0, np.array(2, np.uint8)):
        assert part.read(value).tolist() == [0.0, 1.0, 0.0]


def test_values_become_actions_of_each_space() -> None:
    spaces = pytest.importorskip("gymnasium.spaces")
    cases = [
        (spaces.Discrete(3, start=-1), (3,), [-1, -1, 1], 1),
        (spaces.MultiDiscrete([2, 3]), (2, 3), [1, -1, -1, -1, 1], [0, 2]),
        (spaces.Box(-2, 2, (1, 2), np.float64), (), [0.5, -2], [[0.5, -2.0]]),
    ]
    for space, choices, values, expected in cases:
        control, action_of = action_control(space, None)
        assert control.choices == choices
        action = action_of(np.array(values, dtype=np.float32))
        assert np.asarray(action).tolist() == expected
        assert space.contains(action)


def test_an_action_without_a_range_needs_action_limit() -> None:
    spaces = pytest.importorskip("gymnasium.spaces")
    space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    with pytest.raises(InputError, match="action_limit"):
        action_control(space, None)
    control, _ = action_control(space, 3.0)
    assert (control.low, control.high) == ((-3.0, -3.0), (3.0, 3.0))


def test_an_observation_that_does_not_fit_its_space_is_a_fault() -> None:
    gymnasium = pytest.importorskip("gymnasium")

    class Liar(gymnasium.Env):  # type: ignore[misc]
        observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
        action_space = gymnasium.spaces.Discrete(2)

        def reset(self, **_: Any) -> tuple[np.ndarray, dict[str, Any]]:
            return np.zeros(2, np.float32), {}

        def step(self, _: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
            return np.zeros(3, np.float32), 0.0, False, False, {}

    gymnasium.register("Liar-v0", entry_point=Liar)
    made = opened(make(id="Liar-v0"))
    (effector,) = made.effectors()
    with pytest.raises(SensorError, match=r"\(3,\)"):
        effector.apply(np.array([1, -1], dtype=np.float32), 0)


def test_whole_numbers_are_the_nearest_ones() -> None:
    class Box:
        """As gymnasium's, of integers."""

        shape, dtype = (2,), np.dtype(np.int8)
        low, high = np.array([-1, 0]), np.array([1, 4])

    control, action_of = action_control(Box(), None)
    assert (control.low, control.high) == ((-1.0, 0.0), (1.0, 4.0))
    action = action_of(np.array([-0.6, 3.7], np.float32))
    assert action.tolist() == [-1, 4]
    assert action.dtype == np.int8
