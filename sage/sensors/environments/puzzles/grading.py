"""Which level a puzzle of the stream is from, and when the stream moves to another level.

Invariant: equal results in equal order give equal moves; a level is left upwards only with UP_RIGHT right of
the last UP_OF answers, downwards only after DOWN_AFTER answers with less than DOWN_SHARE of the last UP_OF
right.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np

UP_RIGHT, UP_OF = 48, 50
DOWN_AFTER, DOWN_SHARE = 500, 0.3
#: One puzzle in so many is from an earlier level.
REVIEW_EVERY = 5


class Grading:
    """The level in force, from the results of its answers.

    current: index of the level.  Answers count from the last move on, of puzzles of this level alone.
    """

    def __init__(self, num_levels: int, *, first: int, seed: int) -> None:
        self.current = first
        self._num_levels = num_levels
        self._seed = seed
        self._last: deque[bool] = deque(maxlen=UP_OF)
        self._num_answers = 0

    def level_of(self, number: int) -> int:
        """The level of the puzzle with this number."""
        if self.current == 0 or number % REVIEW_EVERY != REVIEW_EVERY - 1:
            return self.current
        return int(np.random.default_rng((self._seed, number)).integers(self.current))

    def note(self, level: int, *, is_right: bool) -> bool:
        """Count an answer; True where the stream moves to another level."""
        if level != self.current:
            return False
        self._last.append(is_right)
        self._num_answers += 1
        num_right = sum(self._last)
        if len(self._last) < UP_OF:
            return False
        if num_right >= UP_RIGHT and self.current + 1 < self._num_levels:
            return self._move(1)
        if self._num_answers >= DOWN_AFTER and num_right < DOWN_SHARE * UP_OF and self.current > 0:
            return self._move(-1)
        return False

    def state(self) -> dict[str, np.ndarray]:
        """Copies of the level and its counts."""
        return {
            "level": np.array([self.current, self._num_answers], np.int64),
            "last": np.array(self._last, np.bool_),
        }

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore a result of `state` of a stream with as many levels."""
        self.current, self._num_answers = (int(each) for each in state["level"])
        self._last = deque(state["last"].tolist(), maxlen=UP_OF)

    def _move(self, step: int) -> bool:
        self.current += step
        self._last.clear()
        self._num_answers = 0
        return True
