"""A room with a key and a door (kind: key_door), small, and not solved without memory.

A square room of `size` by `size` cells. The key lies in one of the four corners, drawn anew for each
episode, and the door is in the middle of the room. Which corner it is shows in the first view of an episode
only; the key itself is never seen, nor whether it is held. The reward is 0.5 for taking the key, 1 for the
door with the key, which ends the episode, and 0 otherwise; after `max_steps` steps the episode is cut off. A
policy without memory has to search the corners.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.contract import SensorContext
from sage.sensors.environments.stepped import Control, Step, SteppedConfig, SteppedEnvironment, View

MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
MOVE_NAMES = ("up", "down", "left", "right")
NUM_CORNERS = 4
KEY_REWARD, DOOR_REWARD = 0.5, 1.0


class KeyDoorConfig(SteppedConfig):
    """size: cells a side.  max_steps: of an episode."""

    kind: Literal["key_door"] = "key_door"
    size: int = Field(5, ge=3, le=16)
    max_steps: int = Field(60, ge=4)


class KeyDoorEnvironment(SteppedEnvironment):
    """The room as an Environment."""

    Config = KeyDoorConfig

    def __init__(self, config: KeyDoorConfig, context: SensorContext) -> None:
        super().__init__(config, context, KeyDoorWorld(config.size, config.max_steps))


class KeyDoorWorld:
    """A StepWorld. Views: place (2,), row and column of the agent from -1 to 1; sign (4,), one-hot in the
    first view of an episode, else 0.
    """

    def __init__(self, size: int, max_steps: int) -> None:
        self._size = size
        self._max_steps = max_steps
        self._random = np.random.default_rng(0)
        self._place = (0, 0)
        self._corner = 0
        self._has_key = False
        self._num_steps = 0
        last = size - 1
        self._corners = ((0, 0), (0, last), (last, 0), (last, last))
        self._door = (size // 2, size // 2)

    @property
    def views(self) -> tuple[View, ...]:
        return (
            View(
                name="place",
                tensor=TensorSpec(shape=(2,), dtype="float32"),
                observes=("position", "1"),
                channels=("row", "column"),
            ),
            View(
                name="sign",
                tensor=TensorSpec(shape=(NUM_CORNERS,), dtype="float32"),
                observes=("sign", "1"),
                channels=tuple(f"corner{index}" for index in range(NUM_CORNERS)),
            ),
        )

    @property
    def control(self) -> Control:
        return Control(
            low=(-1.0,) * len(MOVES),
            high=(1.0,) * len(MOVES),
            channels=MOVE_NAMES,
            choices=(len(MOVES),),
        )

    def open(self) -> None:
        pass

    def close(self) -> None:
        pass

    def reset(self, seed: int | None) -> tuple[np.ndarray, ...]:
        if seed is not None:
            self._random = np.random.default_rng(seed)
        self._corner = int(self._random.integers(NUM_CORNERS))
        free = [
            (row, column)
            for row in range(self._size)
            for column in range(self._size)
            if (row, column) not in self._corners and (row, column) != self._door
        ]
        self._place = free[int(self._random.integers(len(free)))]
        self._has_key = False
        self._num_steps = 0
        return self._views(is_first=True)

    def step(self, values: np.ndarray) -> Step:
        down, right = MOVES[int(np.argmax(values))]
        row, column = self._place
        self._place = (
            min(max(row + down, 0), self._size - 1),
            min(max(column + right, 0), self._size - 1),
        )
        self._num_steps += 1
        reward, is_over = 0.0, False
        if not self._has_key and self._place == self._corners[self._corner]:
            self._has_key, reward = True, KEY_REWARD
        elif self._has_key and self._place == self._door:
            reward, is_over = DOOR_REWARD, True
        return Step(
            views=self._views(is_first=False),
            reward=reward,
            is_over=is_over,
            is_cut=not is_over and self._num_steps >= self._max_steps,
        )

    def _views(self, *, is_first: bool) -> tuple[np.ndarray, ...]:
        middle = (self._size - 1) / 2
        place = np.array([(each - middle) / middle for each in self._place], dtype=np.float32)
        sign = np.zeros(NUM_CORNERS, dtype=np.float32)
        if is_first:
            sign[self._corner] = 1.0
        return place, sign
