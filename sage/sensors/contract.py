"""The edge of the world, small enough to keep in the head: what a sensor and an effector are.

A sensor's shape, dtype and rate are known before it opens. It writes into memory that it is lent and
says when it captured what it wrote. Imports no torch: a sensor process stays light.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from sage.errors import InputError, SageError
from sage.mailbox.clock import Clock
from sage.mailbox.tensor_spec import TensorSpec

Modality = Literal["physical", "temporal", "cognitive"]


class SensorError(SageError):
    """Any fault of a sensor or an effector. A driver counts it and puts the device in quarantine."""


class SensorUnavailable(SensorError):
    """The device, file or package is not there: the message says which and what to do."""


class SourceExhausted(SensorError):
    """A finite recording came to its end. Not a fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorSpec:
    """What a source delivers, known before it opens.

    name: unique in a run.  modality: where it looks.  tensor: shape and dtype of one reading.
    period_ns: nominal time between readings.  observes: (quantity, unit), e.g. ("acceleration", "m/s^2").
    lineage: names of sources this one is derived from; fusion must not count their evidence twice.
    channels: a name for each element of a 1-D reading, or empty.
    is_bounded: `read_into` never waits for the world, so a driver may call it on the loop's thread.
    """

    name: str
    modality: Modality
    tensor: TensorSpec
    period_ns: int
    observes: tuple[str, str]
    lineage: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    is_bounded: bool = False

    def __post_init__(self) -> None:
        if not self.name:
            raise InputError("name is empty: give each sensor a name of its own")
        if self.period_ns <= 0:
            raise InputError(f"{self.name}: period_ns is {self.period_ns}: give a time above 0")
        if self.channels and self.tensor.shape != (len(self.channels),):
            raise InputError(
                f"{self.name}: {len(self.channels)} channels named for a reading of shape {self.tensor.shape}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a sensor says of the tensor it just wrote.

    captured_ns: when the device saw it, on the host's clock.  received_ns: when it reached us.
    sequence: the device's own count, from 0, with gaps where it lost readings.
    noise_std: claimed standard deviation in the reading's unit, NaN when unknown.
    quality: the device's health, 0..1.  confidence: the source's own claim about the content, 0..1.
    """

    captured_ns: int
    received_ns: int
    sequence: int
    noise_std: float = math.nan
    quality: float = 1.0
    confidence: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorContext:
    """What a sensor is given besides its config.

    clock: the run's clock.  epoch_ns: the run's start on it; recordings start there, on one time axis.
    base_dir: what relative paths in a config are relative to.  memory: the run's H-memory, for sensors
    that recall (kind "memory"), else None.
    """

    clock: Clock
    epoch_ns: int
    base_dir: Path = field(default_factory=Path.cwd)
    memory: object | None = None


@runtime_checkable
class Sensor(Protocol):
    """One source. Constructed as `kind(config, context)`; opened and read by one thread, its driver's."""

    @property
    def spec(self) -> SensorSpec: ...

    def open(self) -> None:
        """Take the device. Raises SensorUnavailable with a remedy."""
        ...

    def read_into(self, out: np.ndarray) -> Reading | None:
        """Write the next reading into `out` (spec.tensor's shape and dtype); None when nothing is new.

        A bounded sensor returns at once. Others may wait up to a few periods, never for ever.
        Raises SourceExhausted at the end of a recording, SensorError on a fault.
        """
        ...

    def close(self) -> None:
        """Give the device back; safe to call twice, and after a failed open."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectorSpec:
    """What an effector takes: `size` numbers in -1..1, of an effect type that the policy may allow."""

    name: str
    effect: str
    target: str
    size: int
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What was really done, after limits.  values: (size,), each in -1..1.  is_held: nothing was done."""

    values: tuple[float, ...]
    stamp_ns: int
    is_held: bool = False
    is_limited: bool = False


@runtime_checkable
class Effector(Protocol):
    """One thing that acts. It returns what it did, which need not be what it was asked."""

    @property
    def spec(self) -> EffectorSpec: ...

    def open(self) -> None:
        """Take the device and arm it. Opening an open one arms it again after `abort`."""
        ...

    def apply(self, values: np.ndarray, stamp_ns: int) -> Action:
        """Do `values` (size,) within the device's limits; return what was done."""
        ...

    def abort(self) -> None:
        """Stop now and hold until it is opened again. Never raises."""
        ...

    def close(self) -> None: ...
