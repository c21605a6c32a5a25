"""The path of a world in hand: which channels, the steps of its episodes, and its bounds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from sage.app.page.paths import CAPACITY, NUM_POINTS, NUM_STEPS, WorldPaths, choose_channels
from sage.mailbox.tensor_spec import TensorSpec
from sage.runtime.report import ActingFacts
from sage.sensors.contract import SensorSpec


def spec(name: str, *channels: str, observes: tuple[str, str] = ("state", "1")) -> SensorSpec:
    return SensorSpec(
        name=name,
        modality="cognitive" if observes[0] in ("reset", "reward") else "physical",
        tensor=TensorSpec(shape=(len(channels),), dtype="float32"),
        period_ns=10**8,
        observes=observes,
        channels=channels,
    )


RESET = spec("cart.reset", "reset", observes=("reset", "1"))
CART = (
    spec("other", "a"),
    spec("cart.observation", "position", "speed", "angle", "turn", "more"),
    RESET,
)


def facts(reset: float = 0.0, num: int = 0, total: float = 0.0, last: float = math.nan) -> ActingFacts:
    return ActingFacts(
        world="cart", reward=1.0, reset=reset, num_episodes=num, episode_return=total, last_return=last
    )


def step(paths: WorldPaths, value: float | None, world: ActingFacts) -> None:
    lent = None if value is None else np.full(5, value, dtype=np.float32)
    paths.take((world,), lambda source: lent if source == 1 else None)
    if lent is not None:
        lent[:] = -99  # the slot is overwritten


def plain(paths: WorldPaths) -> dict[str, Any]:
    found = paths.plain("cart")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("channels", "chosen", "plane"),
    [
        (("position", "speed", "angle", "turn", "more"), ("position", "speed", "angle", "turn"), ()),
        (("row", "column"), ("column", "row"), (1, -1)),
        (("yaw", "tip_x", "tip_y"), ("tip_x", "tip_y"), (1, 1)),
        (("object_out", "object_left", "object_up"), ("object_left", "object_out"), (-1, 1)),
        (("x0", "x1"), ("x0", "x1"), ()),
        (("ax", "ay"), ("ax", "ay"), ()),
        (("goal_x", "tip_y"), ("goal_x", "tip_y"), ()),
    ],
)
def test_places_on_a_plane_are_preferred(
    channels: tuple[str, ...], chosen: tuple[str, ...], plane: tuple[int, ...]
) -> None:
    found = choose_channels((RESET, spec("cart.view", *channels)), (0, 1))
    assert (found.source, found.name, found.channels, found.plane) == (1, "cart.view", chosen, plane)


def test_a_world_without_numbers_has_its_return_alone() -> None:
    paths = WorldPaths((RESET,))
    step(paths, None, facts(total=2.0))
    found = plain(paths)
    assert (found["source"], found["channels"], found["ranges"]) == ("", [], [[2.0, 2.0]])
    assert found["episodes"][0]["returns"] == [2.0]


def test_the_episode_in_hand_and_the_one_before_it() -> None:
    paths = WorldPaths(CART)
    step(paths, 0.5, facts(reset=2.0))  # the start of the world
    step(paths, 0.6, facts(total=1.0))
    step(paths, None, ActingFacts(world="cart"))  # a tick without a step
    step(paths, 0.0, facts(reset=1.0, num=1, total=3.0, last=3.0))
    step(paths, -0.5, facts(num=1, total=1.0))
    found = plain(paths)
    assert (found["source"], found["unit"], found["plane"]) == ("cart.observation", "", [])
    now, before = found["episodes"]
    assert (now["number"], now["steps"], now["returns"]) == (2, [0, 1], [0.0, 1.0])
    assert now["values"][0] == [0.0, -0.5]
    assert (before["number"], before["steps"], before["returns"]) == (1, [0, 1, 2], [0.0, 1.0, 3.0])
    assert before["values"] == [[0.5, 0.6, None]] * 4  # the last state of an episode is not read
    assert found["ranges"] == [[-0.5, 0.6]] * 4 + [[0.0, 3.0]]
    assert paths.plain("another") is None


def test_a_path_is_bounded() -> None:
    paths = WorldPaths(CART)
    step(paths, 0.0, facts(reset=2.0))
    for number in range(CAPACITY + 10):
        step(paths, number, facts(total=float(number)))
    (episode,) = plain(paths)["episodes"]
    assert len(episode["steps"]) == NUM_POINTS == len(episode["values"][0])
    assert episode["steps"][-1] == CAPACITY + 10
    assert CAPACITY + 10 - NUM_STEPS < episode["steps"][0] < episode["steps"][-1]


def test_what_is_not_finite_is_left_out_of_the_ranges() -> None:
    paths = WorldPaths(CART)
    step(paths, math.nan, facts(total=1.0))
    step(paths, 2.0, facts(total=1.0))
    found = plain(paths)
    assert found["episodes"][0]["values"][0] == [None, 2.0]
    assert found["ranges"][0] == [2.0, 2.0]
