"""A sensor that returns the entries of a script, for tests of code that reads sensors.

Invariant: each read takes one entry of the script, and None after the last; it uses no clock.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.contract import Reading, SensorSpec


class ScriptedSensor:
    """script: a Reading to return, None for nothing new, or an exception to raise. The tensor is all ones.

    num_opened, num_closed: calls of open and close.
    """

    def __init__(
        self,
        script: Iterable[Reading | Exception | None] = (),
        *,
        name: str = "scripted",
        is_bounded: bool = True,
        size: int = 2,
    ) -> None:
        self.num_opened = 0
        self.num_closed = 0
        self._script = iter(tuple(script))
        self._spec = SensorSpec(
            name=name,
            modality="physical",
            tensor=TensorSpec(shape=(size,)),
            period_ns=100_000_000,
            observes=("script", "1"),
            is_bounded=is_bounded,
        )

    @property
    def spec(self) -> SensorSpec:
        return self._spec

    def open(self) -> None:
        self.num_opened += 1

    def read_into(self, out: np.ndarray) -> Reading | None:
        entry = next(self._script, None)
        if isinstance(entry, Exception):
            raise entry
        out[:] = 1.0
        return entry

    def close(self) -> None:
        self.num_closed += 1


def reading_at(sequence: int, captured_ns: int) -> Reading:
    """A Reading that was received at its capture time."""
    return Reading(captured_ns=captured_ns, received_ns=captured_ns, sequence=sequence)
