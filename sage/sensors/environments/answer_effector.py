"""The effector of an environment that poses puzzles: takes answers.

Invariant: an answer that the environment does not take is held, and so is every one after `abort`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.contract import EffectorSpec
from sage.sensors.effectors.holding import HoldingEffector
from sage.sensors.puzzle_messages import Answer, message_size

_LARGEST = 2**31 - 1
#: An answer is judged while it is taken, on a machine that may be busy.
TIMEOUT_SECS = 1.0


def answer_spec(name: str, effect: str, target: str, *, room: int, largest: int) -> EffectorSpec:
    """Of answers of up to `room` cells with symbols up to `largest`."""
    size = message_size(Answer, room)
    return EffectorSpec(
        name=name,
        effect=effect,
        target=target,
        tensor=TensorSpec(shape=(size,), dtype="int32"),
        low=(0.0,) * size,
        timeout_secs=TIMEOUT_SECS,
        high=(float(_LARGEST), float(room), *(float(largest),) * room),
    )


class AnswerEffector(HoldingEffector):
    """take: gives an answer to the environment; False where no puzzle waits for it."""

    def __init__(self, spec: EffectorSpec, take: Callable[[Answer], bool]) -> None:
        super().__init__(spec)
        self._take = take

    def _accepts(self, done: np.ndarray) -> bool:
        return self._take(Answer.read(done))
