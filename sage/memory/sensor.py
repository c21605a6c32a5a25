"""Memory as a sensor: its readings are the answers of the run's H-memory.

Invariant: one answer is one reading, stamped with the time of its query.
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

#: Size of a reading where neither the config nor a memory defines it.
DEFAULT_SIZE = 16


@runtime_checkable
class Recalls(Protocol):
    """The type of `context.memory`: a RecallStore, or a substitute in tests."""

    @property
    def value_dim(self) -> int: ...

    @property
    def last_recalled(self) -> Recalled | None:
        """The answer to the newest query; None before the first."""
        ...


class MemoryConfig(SensorConfig):
    """size: numbers in a reading; default: the size of the memory's values.  period_secs: time between
    queries.

    lineage: the sources that the memories come from, so that fusion does not count them twice.
    """

    kind: Literal["memory"] = "memory"
    size: int | None = Field(None, ge=1, le=65536)
    period_secs: float = Field(0.05, ge=0.001)
    lineage: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check_isolate(self) -> MemoryConfig:
        if self.isolate:
            raise InputError("isolate is true, but the memory is in the loop's process: remove `isolate`")
        return self


class MemorySensor:
    """Reads the newest answer; never waits. confidence: the best match's cosine times the trust stored with
    it.
    """

    Config = MemoryConfig

    def __init__(self, config: MemoryConfig, context: SensorContext) -> None:
        self._clock = context.clock
        self._epoch_ns = context.epoch_ns
        self._memory = context.memory if isinstance(context.memory, Recalls) else None
        own_size = self._memory.value_dim if self._memory else config.size or DEFAULT_SIZE
        if config.size not in (None, own_size):
            raise InputError(
                f"{config.name}: size is {config.size}, the run's memory returns {own_size} numbers: remove"
                " `size`"
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
            raise SensorUnavailable(f"{self._spec.name}: this run has no memory: disable the sensor")
        self._is_open = True

    def read_into(self, out: np.ndarray) -> Reading | None:
        """The newest answer, once; None without a new one or when it has no match."""
        if not self._is_open or self._memory is None:
            raise SensorError(f"{self._spec.name}: read before open: call open() first")
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
