"""The effector of an environment that poses puzzles: takes answers.

Invariant: an answer that the environment does not take is held, and so is every one after `abort`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.contract import Action, EffectorSpec, SensorError
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


class AnswerEffector:
    """take: gives an answer to the environment; False where no puzzle waits for it."""

    def __init__(self, spec: EffectorSpec, take: Callable[[Answer], bool]) -> None:
        self._spec = spec
        self._take = take
        self._last = np.zeros(spec.tensor.shape, np.int32)
        self._is_open = False
        self._is_held = False

    @property
    def spec(self) -> EffectorSpec:
        return self._spec

    def open(self) -> None:
        self._is_open = True
        self._is_held = False

    def apply(self, values: np.ndarray, stamp_ns: int) -> Action:
        if not self._is_open:
            raise SensorError(f"{self._spec.name}: apply while closed: call open() first")
        self._spec.check(values)
        done = self._spec.limited(values)
        if self._is_held or not self._take(Answer.read(done)):
            return Action(spec=self._spec, values=self._last, stamp_ns=stamp_ns, is_held=True)
        self._last = done
        is_limited = bool((done != values).any())
        return Action(spec=self._spec, values=done, stamp_ns=stamp_ns, is_limited=is_limited)

    def abort(self) -> None:
        self._is_held = True

    def close(self) -> None:
        self._is_open = False
