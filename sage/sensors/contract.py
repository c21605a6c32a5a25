"""The contract of sensors and effectors.

A device's shapes, dtype and rate are known before it opens. A sensor writes into memory that its caller
lends and returns when it captured what it wrote; an effector returns what it did after limits. Imports no
torch, so that a sensor's process stays small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeVar, get_args, runtime_checkable

import numpy as np

from sage.errors import InputError, SageError
from sage.mailbox.clock import Clock
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.budgeted_work import WorkBoard
from sage.sensors.connections import ConnectionPool
from sage.sensors.latest import LatestReadings
from sage.sensors.limits import NO_LIMITS, EffectorLimits

#: Of an action's tensor: what numpy computes with and a device understands.
ACTION_DTYPES = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8")
#: Of a reading's tensor: a sensor writes into a numpy array.
ReadingDtype = Literal["bool", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8"]
READING_DTYPES: tuple[str, ...] = get_args(ReadingDtype)
Modality = Literal["physical", "temporal", "cognitive"]
#: Of a reading: 256 MiB of float32.
MAX_ELEMENTS = 1 << 26


class SensorError(SageError):
    """A fault of a sensor or an effector. Its driver counts it and puts the device in quarantine."""


class SensorUnavailable(SensorError):
    """The device, file or package is missing. The message has which one, and the remedy."""


class SourceExhausted(SensorError):
    """The end of a finite recording. Not a fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorSpec:
    """What a sensor delivers, known before it opens.

    name: unique in a run.  modality: "physical", "temporal" or "cognitive".  tensor: shape and dtype of one
    reading.  period_ns: nominal time between readings.
    observes: (quantity, unit), for example ("acceleration", "m/s^2").
    lineage: names of the sources it is derived from; fusion must not count their evidence twice.
    channels: a name for each element of a 1-D reading, or empty.
    ranges: the lowest and highest value that each element of a reading can have, None at an end without
    limit; empty where unknown. A reading beyond them counts against the source.
    is_bounded: `read_into` never waits for a device, so that a driver may call it on the loop's thread.
    """

    name: str
    modality: Modality
    tensor: TensorSpec
    period_ns: int
    observes: tuple[str, str]
    lineage: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    is_bounded: bool = False
    ranges: tuple[tuple[float | None, float | None], ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise InputError(f"name is {self.name!r}: give each sensor a name of its own, a text")
        if not isinstance(self.tensor, TensorSpec) or self.tensor.dtype not in READING_DTYPES:
            raise InputError(
                f"{self.name}: tensor is {self.tensor}: give a TensorSpec with one of"
                f" {', '.join(READING_DTYPES)}, which numpy has"
            )
        texts = () if isinstance(self.observes, str) else tuple(self.observes)
        if len(texts) != 2 or not all(isinstance(each, str) for each in texts):
            raise InputError(
                f"{self.name}: observes is {self.observes!r}: give (quantity, unit), for example ('speed',"
                " 'm/s')"
            )
        if self.period_ns <= 0:
            raise InputError(f"{self.name}: period_ns is {self.period_ns}: give a time above 0")
        if self.tensor.num_elements > MAX_ELEMENTS:
            raise InputError(
                f"{self.name}: shape is {list(self.tensor.shape)}: give at most {MAX_ELEMENTS:,} elements"
            )
        if self.channels and self.tensor.shape != (len(self.channels),):
            raise InputError(
                f"{self.name}: {len(self.channels)} channels named for a reading of shape {self.tensor.shape}"
            )
        if self.ranges and len(self.ranges) != self.tensor.num_elements:
            raise InputError(
                f"{self.name}: {len(self.ranges)} ranges for a reading of shape {self.tensor.shape}: give one"
                " for each element, or none"
            )


#: A device's own count is below it.
MAX_SEQUENCE = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a sensor returns about the tensor that it wrote.

    captured_ns: when the device measured it, on the run's clock.  received_ns: when it reached the host.
    sequence: the device's own count, from 0, below MAX_SEQUENCE, with gaps where it lost readings.
    noise_std: claimed standard deviation in the reading's unit, NaN when unknown.
    quality: the device's health, 0..1.  confidence: claimed for the content, 0..1.
    health: what lowers the quality, in one line; empty where nothing does. A change is an event of the run.
    A field of another type, or a number that 64 bits do not hold, is a fault of the sensor.
    """

    captured_ns: int
    received_ns: int
    sequence: int
    noise_std: float = math.nan
    quality: float = 1.0
    confidence: float = 1.0
    health: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorContext:
    """What a device gets besides its config.

    clock: the run's clock.  epoch_ns: the run's start on it; recordings start there, on one time axis.
    base_dir: what relative paths in a config are relative to.  memory: the run's H-memory, for sensors
    that recall (kind "memory"), else None.
    board: the run's Board, for sensors that read other sources' values or return texts (kind "language").
    connections: what several devices of a run share, for example one simulator or one serial line.
    latest: the newest readings of the run's other sources; a sensor watches those that it derives its own
    from. Not in a process of its own.
    work: where a device offers work for the budget of the loop's ticks. Not in a process of its own.
    """

    clock: Clock
    epoch_ns: int
    base_dir: Path = field(default_factory=Path.cwd)
    memory: object | None = None
    board: object | None = None
    connections: ConnectionPool = field(default_factory=ConnectionPool)
    latest: LatestReadings = field(default_factory=LatestReadings)
    work: WorkBoard = field(default_factory=WorkBoard)


@runtime_checkable
class Sensor(Protocol):
    """One source. Constructed as `kind(config, context)`; opened and read by one thread, its driver's."""

    @property
    def spec(self) -> SensorSpec: ...

    def open(self) -> None:
        """Take the device. Raises SensorUnavailable with a remedy."""
        ...

    def read_into(self, out: np.ndarray) -> Reading | None:
        """Write the next reading into `out` (spec.tensor's shape and dtype); None when there is none yet.

        A bounded sensor returns at once. Others may wait up to a few periods.
        Raises SourceExhausted at the end of a recording, SensorError on a fault.
        """
        ...

    def close(self) -> None:
        """Give the device back; safe to call twice, and after a failed open."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectorSpec:
    """What an effector takes, known before it opens.

    name: unique in a run.  effect, target: the effect type and what it acts on; the policy's rules match
    them.
    tensor: shape and dtype of one action; a chunk of T steps is (T, C).
    low, high: the range of each channel, in the device's unit; the channels are the tensor's last dimension.
    channels: a name for each channel, or empty.  unit: of the values, "1" for none.
    choices: sizes of groups of channels, in order, of which one channel each is chosen, that of the highest
    value; they are all channels, or empty.
    timeout_secs: how long one `apply` may take; longer is a fault.
    limits: enforced outside the effector, beside those of the run's configuration.
    rest: one value a channel, done when nothing was done yet; a slew limit starts there. Empty: 0, or the end
    of the range nearest to it.  step_secs: time between the steps of a chunk; a slew limit needs it there.
    needs: modalities of the run's posture, for example ("vision",); while one of them is starved, the policy
    denies every action.
    """

    name: str
    effect: str
    target: str
    tensor: TensorSpec
    low: tuple[float, ...]
    high: tuple[float, ...]
    channels: tuple[str, ...] = ()
    unit: str = "1"
    choices: tuple[int, ...] = ()
    timeout_secs: float = 0.05
    limits: EffectorLimits = NO_LIMITS
    rest: tuple[float, ...] = ()
    step_secs: float | None = None
    needs: tuple[str, ...] = ()
    _low: np.ndarray = field(init=False, repr=False, compare=False)
    _high: np.ndarray = field(init=False, repr=False, compare=False)
    _center: np.ndarray = field(init=False, repr=False, compare=False)
    _half: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        low, high = np.array(self.low, dtype=np.float64), np.array(self.high, dtype=np.float64)
        object.__setattr__(self, "_low", low)
        object.__setattr__(self, "_high", high)
        if low.shape == high.shape:  # else refused below
            object.__setattr__(self, "_center", (low + high) / 2)
            object.__setattr__(self, "_half", (high - low) / 2)
        if not (self.name and self.effect and self.target):
            raise InputError(f"{self.name or 'effector'}: name, effect or target is empty: give all three")
        if not self.tensor.shape or self.tensor.dtype not in ACTION_DTYPES or self.tensor.device != "cpu":
            raise InputError(
                f"{self.name}: tensor is {self.tensor}: give a shape of at least one dimension, device 'cpu'"
                f" and one of {', '.join(ACTION_DTYPES)}"
            )
        num = self.tensor.shape[-1]
        if not (len(self.low) == len(self.high) == num and len(self.channels) in (0, num)):
            raise InputError(f"{self.name}: low, high or channels is not of length {num}: give one a channel")
        if not all(math.isfinite(b - a) and a < b for a, b in zip(self.low, self.high)):
            raise InputError(
                f"{self.name}: low is {self.low}, high {self.high}: give finite ranges, low < high"
            )
        if self.choices and (sum(self.choices) != self.size or min(self.choices) < 2):
            raise InputError(
                f"{self.name}: choices is {self.choices}: give group sizes of 2 or more that add up to"
                f" {self.size}"
            )
        if not self.timeout_secs > 0:
            raise InputError(f"{self.name}: timeout_secs is {self.timeout_secs}: give a time above 0")
        if len(self.rest) not in (0, num) or not all(math.isfinite(each) for each in self.rest):
            raise InputError(f"{self.name}: rest is {self.rest}: give {num} finite values, one a channel")
        self.check_limits(self.limits)

    def check_limits(self, limits: EffectorLimits) -> None:
        """InputError for limits that do not fit this spec."""
        try:
            limits.check(self.low, self.high)
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from None
        if self.choices and (limits.max_slew or limits.low or limits.permit):
            raise InputError(f"{self.name}: a choice has no slew or workspace limit: give a rate limit alone")
        if limits.max_slew and len(self.tensor.shape) > 1 and not (self.step_secs and self.step_secs > 0):
            raise InputError(f"{self.name}: a slew limit of a chunk needs step_secs: give it in the spec")

    def rest_values(self) -> np.ndarray:
        """spec.tensor's shape, float64: `rest` for every step."""
        row = np.array(self.rest or (0.0,) * len(self.low), dtype=np.float64)
        return np.ascontiguousarray(np.broadcast_to(row, self.tensor.shape))

    @property
    def size(self) -> int:
        """Numbers in one action."""
        return self.tensor.num_elements

    def scaled(self, normalized: np.ndarray) -> np.ndarray:
        """(size,) in -1..1 to an action: spec.tensor, -1 at `low` and 1 at `high`. A range of -1..1 changes
        no bit.
        """
        values: np.ndarray = normalized.astype(np.float64).reshape(self.tensor.shape) * self._half
        values += self._center
        return self.limited(values)

    def normalized(self, values: np.ndarray) -> np.ndarray:
        """The inverse of `scaled`: (size,) float32 in -1..1."""
        parts: np.ndarray = (values.astype(np.float64) - self._center) / self._half
        flat: np.ndarray = np.clip(parts, -1.0, 1.0).astype(np.float32).reshape(-1)
        return flat

    def limited(self, values: np.ndarray) -> np.ndarray:
        """`values` within each channel's range, as spec.tensor's dtype; integers are rounded.

        With choices: each group's highest channel at its `high`, the others at their `low`.
        """
        within: np.ndarray = np.minimum(np.maximum(values, self._low), self._high)
        if self.choices:
            within = self._chosen(within)
        dtype = np.dtype(self.tensor.dtype)
        if dtype.kind in "iu":
            within = np.round(within)
        return within.astype(dtype)

    def _chosen(self, values: np.ndarray) -> np.ndarray:
        flat, first = values.reshape(-1), 0
        is_highest = np.zeros(self.size, dtype=bool)
        for size in self.choices:
            is_highest[first + int(np.argmax(flat[first : first + size]))] = True
            first += size
        chosen: np.ndarray = np.where(is_highest.reshape(values.shape), self._high, self._low)
        return chosen

    def check(self, values: np.ndarray) -> None:
        """InputError unless `values` has spec.tensor's shape and dtype."""
        if values.shape != self.tensor.shape or values.dtype != self.tensor.dtype:
            raise InputError(
                f"{self.name}: values are {values.shape} {values.dtype.name}: give {self.tensor.shape}"
                f" {self.tensor.dtype}"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Action:
    """What was done, after limits.

    spec: of the effector that did it.  values: spec.tensor, in the device's unit; where it holds, its
    position.
    is_held: nothing was done.  is_limited: less was done than was requested.
    InputError for values of another shape or dtype.
    """

    spec: EffectorSpec
    values: np.ndarray
    stamp_ns: int
    is_held: bool = False
    is_limited: bool = False

    def __post_init__(self) -> None:
        self.spec.check(self.values)
        for name, kind in (("is_held", bool), ("is_limited", bool), ("stamp_ns", int)):
            value = getattr(self, name)
            if type(value) is not kind:  # numpy's, which no report can be stored with
                object.__setattr__(self, name, kind(value))


@runtime_checkable
class Effector(Protocol):
    """One device that acts. Constructed as `kind(config, context)`.

    The run's loop calls `open`, `apply` and `close` from one thread, never its own; `abort` from any thread,
    also while another call is in progress.
    """

    @property
    def spec(self) -> EffectorSpec: ...

    def open(self) -> None:
        """Take the device and arm it; on an open one, arm it again after `abort`.

        Raises SensorUnavailable with a remedy.
        """
        ...

    def apply(self, values: np.ndarray, stamp_ns: int) -> Action:
        """Do `values` (spec.tensor, within its ranges) and return what was done.

        Values that are out of range or not finite are limited or held, never done. Takes `spec.timeout_secs`
        at most. Raises SensorError on a fault, and while closed.
        """
        ...

    def abort(self) -> None:
        """Stop now and hold until it is opened again. Never raises."""
        ...

    def close(self) -> None:
        """Give the device back; safe to call twice, and after a failed open."""
        ...


SpecT = TypeVar("SpecT", SensorSpec, EffectorSpec)


def spec_of(device: Sensor | Effector, kind: type[SpecT]) -> SpecT:
    """A device's spec. InputError where a plug-in has another thing there."""
    spec = device.spec
    if not isinstance(spec, kind):
        raise InputError(f"spec is a {type(spec).__name__}: correct the plug-in: give a {kind.__name__}")
    return spec
