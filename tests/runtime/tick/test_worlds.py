"""Rewards and resets of worlds, found by what their sensors observe."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from sage.mailbox.tensor_spec import TensorSpec
from sage.runtime.channels.layout import Layout
from sage.runtime.tick.worlds import ONE_WORLD, Worlds
from sage.sensors.contract import EffectorSpec, SensorSpec
from sage.sensors.environment import CUT_OFF, ENDED


def worlds(spec: Callable[..., SensorSpec]) -> Worlds:
    """Channels: 0, 1 game.view; 2 game.reward; 3 game.reset; 4, 5 other."""
    specs = [
        spec("game.view"),
        spec("game.reward", 1, observes=("reward", "1")),
        spec("game.reset", 1, observes=("reset", "1")),
        spec("other"),
    ]
    return Worlds(Layout.of(specs))


def meet(made: Worlds, reward: float, reset: float = 0.0, *, is_met: bool = True) -> np.ndarray:
    """The deltas (C,), which were all 1, after a tick with these readings."""
    deltas = np.ones(6)
    made.meet(np.full(4, is_met), np.array([0.0, 0.0, reward, reset, 0.0, 0.0]), deltas)
    return deltas


def test_a_reward_counts_only_where_it_arrived(spec: Callable[..., SensorSpec]) -> None:
    made = worlds(spec)
    assert made.has_reward
    meet(made, 2.0)
    assert made.reward == 2.0
    meet(made, 2.0, is_met=False)
    assert np.isnan(made.reward).all()


def test_a_reset_ends_an_episode_and_the_changes_of_that_world_alone(
    spec: Callable[..., SensorSpec],
) -> None:
    made = worlds(spec)
    assert meet(made, 1.0).tolist() == [1.0] * 6
    assert meet(made, 2.0, ENDED).tolist() == [0.0] * 4 + [1.0] * 2
    assert made.reset == ENDED
    (facts,) = made.facts()
    assert (facts.world, facts.num_episodes, facts.last_return, facts.episode_return) == ("game", 1, 3.0, 3.0)
    meet(made, 5.0)
    assert made.reset == 0.0
    assert made.facts()[0].episode_return == 5.0
    meet(made, 0.0, CUT_OFF)
    assert made.reset == CUT_OFF
    assert made.facts()[0].last_return == 5.0


def test_a_world_has_no_source_of_another_whose_name_begins_with_its_own(
    spec: Callable[..., SensorSpec],
) -> None:
    specs = [
        spec(f"{world}.{part}", 1, observes=(part, "1"))
        for world in ("game", "game.2")
        for part in ("reward", "reset")
    ]
    made, deltas = Worlds(Layout.of(specs)), np.ones(4)
    made.meet(np.ones(4, dtype=bool), np.array([1.0, ENDED, 10.0, 0.0]), deltas)
    assert [facts.episode_return for facts in made.facts()] == [1.0, 10.0]
    assert deltas.tolist() == [0.0, 0.0, 1.0, 1.0]


def test_success_is_of_the_episode_that_ended(spec: Callable[..., SensorSpec]) -> None:
    names = ("reward", "reset", "success")
    made = Worlds(Layout.of([spec(f"game.{name}", 1, observes=(name, "1")) for name in names]))

    def outcome(reset: float, success: float) -> float:
        made.meet(np.full(3, True), np.array([0.0, reset, success]), np.zeros(3))
        return made.facts()[0].last_success

    assert math.isnan(outcome(CUT_OFF, 0.0))  # the start of the world ends none
    assert math.isnan(outcome(0.0, 0.0))
    assert outcome(ENDED, 1.0) == 1.0
    assert outcome(0.0, 0.0) == 1.0
    assert outcome(CUT_OFF, 0.0) == 0.0


def test_the_start_of_a_world_ends_no_episode(spec: Callable[..., SensorSpec]) -> None:
    made = worlds(spec)
    meet(made, 0.0, CUT_OFF)
    assert made.reset == CUT_OFF
    assert made.facts()[0].num_episodes == 0
    meet(made, 3.0, ENDED)
    assert (made.facts()[0].num_episodes, made.facts()[0].last_return) == (1, 3.0)


def test_a_reset_that_did_not_arrive_is_none(spec: Callable[..., SensorSpec]) -> None:
    made = worlds(spec)
    meet(made, 1.0, ENDED, is_met=False)
    assert made.reset == 0.0


def test_a_run_without_worlds_has_none(layout: Layout) -> None:
    made = Worlds(layout)
    made.meet(np.ones(2, bool), np.zeros(5), np.zeros(5))
    assert not made.has_reward
    assert np.isnan(made.reward).tolist() == [True]
    assert made.facts() == ()


@pytest.fixture
def two_worlds(spec: Callable[..., SensorSpec]) -> Worlds:
    """Channels: a.reward, a.reset, b.reward, b.reset, other, praise."""
    parts = [
        spec(f"{world}.{part}", 1, observes=(part, "1")) for world in "ab" for part in ("reward", "reset")
    ]
    return Worlds(Layout.of([*parts, spec("other", 1), spec("praise", 1, observes=("reward", "1"))]))


def test_each_of_several_worlds_has_its_own_reward_and_end(two_worlds: Worlds) -> None:
    """What is outside of them is of one more, which has no end."""
    deltas = np.ones(6)
    two_worlds.meet(np.ones(6, bool), np.array([1.0, 0.0, 10.0, ENDED, 0.0, 100.0]), deltas)
    assert two_worlds.reward.tolist() == [1.0, 10.0, 100.0]
    assert two_worlds.reset.tolist() == [0.0, ENDED, 0.0]
    assert deltas.tolist() == [1.0, 1.0, 0.0, 0.0, 1.0, 1.0]
    two_worlds.meet(
        np.array([True] * 2 + [False] * 4), np.array([2.0, CUT_OFF, 10.0, ENDED, 0, 100.0]), deltas
    )
    np.testing.assert_array_equal(two_worlds.reward, [2.0, np.nan, np.nan])
    assert two_worlds.reset.tolist() == [CUT_OFF, 0.0, 0.0]


def test_sources_and_actions_are_of_the_world_that_their_names_begin_with(two_worlds: Worlds) -> None:
    effectors = [
        EffectorSpec(
            name=name,
            effect="simulated",
            target="world",
            tensor=TensorSpec(shape=(size,), dtype="float32"),
            low=(-1.0,) * size,
            high=(1.0,) * size,
        )
        for name, size in (("b.action", 2), ("light", 1), ("a.action", 1))
    ]
    parts = two_worlds.parts(effectors)
    assert parts.num_worlds == 3
    assert parts.source_worlds == (0, 0, 1, 1, -1, -1)
    assert parts.action_worlds == (1, 1, -1, 0)


def test_a_single_world_has_all_rewards(spec: Callable[..., SensorSpec]) -> None:
    names = (("a.reset", "reset"), ("a.reward", "reward"), ("praise", "reward"))
    made = Worlds(Layout.of([spec(name, 1, observes=(kind, "1")) for name, kind in names]))
    made.meet(np.ones(3, bool), np.array([ENDED, 1.0, 100.0]), np.ones(3))
    assert made.reward.tolist() == [101.0]
    assert made.reset.tolist() == [ENDED]
    assert made.parts([]) == ONE_WORLD


def test_two_signs_of_one_world_are_one_end(spec: Callable[..., SensorSpec]) -> None:
    names = ("a.reset", "a.reset2", "b.reset")
    made = Worlds(Layout.of([spec(name, 1, observes=("reset", "1")) for name in names]))
    made.meet(np.ones(3, bool), np.array([0.0, ENDED, 0.0]), np.ones(3))
    assert made.reset.tolist() == [ENDED, 0.0]
