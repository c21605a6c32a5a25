"""A sensor that says what it is told to say, for tests of whatever reads sensors.

Invariant: it has no time and no will of its own: one entry of the script for each read, then nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.contract import Reading, SensorSpec


class ScriptedSensor:
    """script: a Reading to return, None for nothing new, or an exception to raise. The tensor is all ones.

    num_opened, num_closed: how often each was asked for.
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
        said = next(self._script, None)
        if isinstance(said, Exception):
            raise said
        out[:] = 1.0
        return said

    def close(self) -> None:
        self.num_closed += 1


def reading_at(sequence: int, captured_ns: int) -> Reading:
    """A reading that was received when it was captured."""
    return Reading(captured_ns=captured_ns, received_ns=captured_ns, sequence=sequence)
