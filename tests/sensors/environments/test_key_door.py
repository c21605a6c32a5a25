"""The room with a key and a door."""

from __future__ import annotations

import numpy as np

from sage.sensors.environments.key_door import DOOR_REWARD, KEY_REWARD, MOVE_NAMES, KeyDoorWorld
from sage.sensors.environments.stepped import Step

SIZE = 5


def move(world: KeyDoorWorld, name: str) -> Step:
    values = np.full(len(MOVE_NAMES), -1.0, dtype=np.float32)
    values[MOVE_NAMES.index(name)] = 1.0
    return world.step(values)


def walk(world: KeyDoorWorld, names: list[str]) -> Step:
    for name in names[:-1]:
        move(world, name)
    return move(world, names[-1])


def corner_of(world: KeyDoorWorld, seed: int) -> tuple[str, str]:
    """The moves towards the key's corner, from the sign of the first view."""
    _, sign = world.reset(seed)
    corner = int(np.argmax(sign))
    return ("up", "down")[corner // 2], ("left", "right")[corner % 2]


def test_the_sign_shows_in_the_first_view_only() -> None:
    world = KeyDoorWorld(SIZE, 60)
    _, sign = world.reset(3)
    assert sorted(sign.tolist()) == [0.0, 0.0, 0.0, 1.0]
    assert move(world, "up").views[1].tolist() == [0.0] * 4


def test_the_key_then_the_door_ends_the_episode() -> None:
    world = KeyDoorWorld(SIZE, 60)
    for seed in range(8):
        vertical, horizontal = corner_of(world, seed)
        taken = [move(world, name).reward for name in [vertical] * SIZE + [horizontal] * SIZE]
        assert sum(taken) == KEY_REWARD
        back = {"up": "down", "down": "up", "left": "right", "right": "left"}
        step = walk(world, [back[vertical]] * (SIZE // 2) + [back[horizontal]] * (SIZE // 2))
        assert step.reward == DOOR_REWARD
        assert step.is_over
        assert not step.is_cut


def test_the_door_without_the_key_is_nothing() -> None:
    world = KeyDoorWorld(SIZE, 60)
    place, _ = world.reset(0)
    rows, columns = (round(float(each) * 2) for each in place)
    moves = ["up" if rows > 0 else "down"] * abs(rows) + ["left" if columns > 0 else "right"] * abs(columns)
    step = walk(world, moves)
    assert step.views[0].tolist() == [0.0, 0.0]
    assert step.reward == 0.0
    assert not step.is_over


def test_an_episode_is_cut_off_after_max_steps() -> None:
    world = KeyDoorWorld(SIZE, 4)
    world.reset(0)
    assert [walk(world, ["up"]).is_cut for _ in range(4)] == [False, False, False, True]


def test_equal_seeds_give_equal_episodes() -> None:
    def episodes(seed: int) -> list[list[float]]:
        world = KeyDoorWorld(SIZE, 60)
        views = [world.reset(seed), *(world.reset(None) for _ in range(9))]
        return [np.concatenate(view).tolist() for view in views]

    assert episodes(1) == episodes(1)
    assert episodes(1) != episodes(2)
