"""Memory as a source: the newest answer of the run's H-memory, delivered like any other reading.

Invariant: one answer is one reading, stamped with the time of its query; no answer, no reading.
"""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

import numpy as np
from pydantic import Field, model_validator

from sage.errors import InputError
from sage.mailbox.tensor_spec import TensorSpec
from sage.memory.stores.recall import Recalled
from sage.sensors.config import SensorConfig
from sage.sensors.contract import Reading, SensorContext, SensorError, SensorSpec, SensorUnavailable

#: Width of a reading where neither the config nor a memory says it.
DEFAULT_SIZE = 16


@runtime_checkable
class Recalls(Protocol):
    """What a run gives its sensors as `context.memory`: a RecallStore, or what stands for one."""

    @property
    def value_dim(self) -> int: ...

    @property
    def last_recalled(self) -> Recalled | None:
        """The answer to the newest query; its `sequence` tells it from the one before."""
        ...


class MemoryConfig(SensorConfig):
    """size: numbers in a reading, the memory's own width where it is left out.  period_secs: time between
    queries.

    lineage: the sources that what is remembered was made from, so that fusion does not count them twice.
    """

    kind: Literal["memory"] = "memory"
    size: int | None = Field(None, ge=1, le=65536)
    period_secs: float = Field(0.05, ge=0.001)
    lineage: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _lives_with_the_loop(self) -> MemoryConfig:
        if self.isolate:
            raise InputError(
                "isolate is true, but what is remembered lives in the loop's own process: leave it out"
            )
        return self


class MemorySensor:
    """Reads the newest answer. confidence: how well it matched, times the trust it was written with.
    Bounded.
    """

    Config = MemoryConfig

    def __init__(self, config: MemoryConfig, context: SensorContext) -> None:
        self._clock = context.clock
        self._epoch_ns = context.epoch_ns
        self._memory = context.memory if isinstance(context.memory, Recalls) else None
        own_size = self._memory.value_dim if self._memory else config.size or DEFAULT_SIZE
        if config.size not in (None, own_size):
            raise InputError(
                f"{config.name}: size is {config.size}, the run's memory recalls {own_size} numbers: leave"
                " size out"
            )
        self._is_open = False
        self._last_sequence = 0
        self._num_read = 0
        self._spec = SensorSpec(
            name=config.name,
            modality="temporal",
            tensor=TensorSpec(shape=(own_size,)),
            period_ns=round(config.period_secs * 1e9),
            observes=("recall", "1"),
            lineage=config.lineage,
            is_bounded=True,
        )

    @property
    def spec(self) -> SensorSpec:
        return self._spec

    def open(self) -> None:
        if self._memory is None:
            raise SensorUnavailable(
                f"{self._spec.name}: this run has no memory to recall from: switch the sensor off"
            )
        self._is_open = True

    def read_into(self, out: np.ndarray) -> Reading | None:
        """The newest answer that was not read yet; None while there is none, or it found nothing."""
        if not self._is_open or self._memory is None:
            raise SensorError(f"{self._spec.name}: read while closed: call open() first")
        recalled = self._memory.last_recalled
        if recalled is None or recalled.sequence == self._last_sequence:
            return None
        self._last_sequence = recalled.sequence
        if recalled.num_hits == 0:
            return None
        out[:] = recalled.value
        reading = Reading(
            captured_ns=self._epoch_ns + recalled.queried_ns,
            received_ns=self._clock.now_ns(),
            sequence=self._num_read,
            confidence=recalled.confidence,
        )
        self._num_read += 1
        return reading

    def close(self) -> None:
        self._is_open = False
