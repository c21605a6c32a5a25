"""A generated signal with known structure and faults on schedule, for tests and the loop benchmark.

Invariant: a reading's values are a pure function of (config, captured time since the epoch), except during a
fault. Sources with one `latent_seed` observe one hidden state, so one can be predicted from another.
"""

from __future__ import annotations

import math
import threading
from functools import lru_cache
from typing import Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from sage.errors import InputError
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.config import SensorConfig
from sage.sensors.contract import (
    MAX_ELEMENTS,
    Reading,
    SensorContext,
    SensorError,
    SensorSpec,
    SensorUnavailable,
    SourceExhausted,
)
from sage.sensors.devices.fault_schedule import FaultConfig, FaultSchedule

#: Noise is drawn once, this many elements at most, and reused in turn, so that a reading depends on no other.
MAX_NOISE_ELEMENTS = 1 << 20
MAX_NOISE_ROWS = 4096


class SyntheticConfig(SensorConfig):
    """shape, dtype: of a reading; uint8 maps -4..4 to 0..255.  rate_hz: readings a second, on a grid from the
    epoch.

    seed: of this source's view of the hidden state, and of its noise.  view_seed: of the view alone: sources
    with an equal one measure the same quantity, each with noise of its own; None: `seed`.
    latent_seed, latent_size: of the hidden state, a sum of `latent_size` sinusoids of 0.05 to 2 Hz.
    lag_secs: delay between the state and the reading.
    noise_std: of the noise, and claimed by the readings.  num_readings: after which it is exhausted; None:
    never.
    """

    kind: Literal["synthetic"] = "synthetic"
    shape: tuple[int, ...] = Field((8,), max_length=4)
    dtype: Literal["float32", "uint8"] = "float32"
    rate_hz: float = Field(20.0, gt=0, le=10_000)
    seed: int = Field(0, ge=0)
    view_seed: int | None = Field(None, ge=0)
    latent_seed: int = Field(0, ge=0)
    latent_size: int = Field(4, ge=1, le=64)
    lag_secs: float = Field(0.0, ge=0)
    noise_std: float = Field(0.05, ge=0)
    num_readings: int | None = Field(None, ge=1)
    faults: tuple[FaultConfig, ...] = ()

    @field_validator("shape")
    @classmethod
    def _fits_memory(cls, shape: tuple[int, ...]) -> tuple[int, ...]:
        if math.prod(shape) > MAX_ELEMENTS:
            raise InputError(f"shape is {list(shape)}: give at most {MAX_ELEMENTS:,} elements")
        return shape

    @model_validator(mode="after")
    def _nan_needs_floats(self) -> SyntheticConfig:
        if self.dtype == "uint8" and any(fault.fault == "nan" for fault in self.faults):
            raise InputError("faults has a nan, which uint8 cannot represent: set dtype float32")
        return self


class HiddenState:
    """`size` sinusoids. The sources that observe them at one time compute them once. Thread-safe."""

    def __init__(self, seed: int, size: int) -> None:
        generator = np.random.default_rng(seed)
        self._angular_hz = 2 * math.pi * generator.uniform(0.05, 2.0, size)  # (L,)
        self._phase = generator.uniform(0.0, 2 * math.pi, size)  # (L,)
        self._newest = (math.nan, self._phase)

    def at(self, secs: float) -> np.ndarray:
        """(L,) float64; do not write to it."""
        newest_secs, values = self._newest
        if secs != newest_secs:
            values = np.sin(self._angular_hz * secs + self._phase)
            self._newest = (secs, values)
        return values


hidden_state = lru_cache(maxsize=64)(HiddenState)


class Signal:
    """A linear view of a hidden state, plus a table of noise. A pure function of time."""

    def __init__(self, config: SyntheticConfig) -> None:
        size = math.prod(config.shape)
        self._hidden = hidden_state(config.latent_seed, config.latent_size)
        own = np.random.default_rng((config.seed, config.latent_seed))
        self._view = own.normal(0.0, config.latent_size**-0.5, (size, config.latent_size))  # (size, L)
        if config.view_seed is not None:
            shared = np.random.default_rng((config.view_seed, config.latent_seed))
            self._view = shared.normal(0.0, config.latent_size**-0.5, self._view.shape)
        num_rows = min(MAX_NOISE_ROWS, max(16, MAX_NOISE_ELEMENTS // max(1, size)))
        self._noise = own.standard_normal((num_rows, size), dtype=np.float32)  # (rows, size)
        self._lag_secs = config.lag_secs
        self._scaled_noise = config.noise_std * self._noise  # (rows, size)
        self._period_ns = round(1e9 / config.rate_hz)

    def observe(self, elapsed_ns: int) -> np.ndarray:
        """(size,) float64: the reading at this time since the epoch."""
        secs = elapsed_ns * 1e-9 - self._lag_secs
        values: np.ndarray = self._view.dot(self._hidden.at(secs))
        values += self._scaled_noise[(elapsed_ns // self._period_ns) % len(self._scaled_noise)]
        return values

    def extra_noise(self, elapsed_ns: int) -> np.ndarray:
        """(size,) float32, standard normal, independent of the noise in `observe`."""
        row: np.ndarray = self._noise[
            (elapsed_ns // self._period_ns + len(self._noise) // 2) % len(self._noise)
        ]
        return row


class SyntheticSensor:
    """Returns every reading of its grid in order, also when it is read late. Bounded unless a hang is on its
    schedule.
    """

    Config = SyntheticConfig

    def __init__(self, config: SyntheticConfig, context: SensorContext) -> None:
        self._config = config
        self._clock = context.clock
        self._epoch_ns = context.epoch_ns
        self._period_ns = round(1e9 / config.rate_hz)
        self._stop_ns = None if config.num_readings is None else config.num_readings * self._period_ns
        self._signal = Signal(config)
        self._schedule = FaultSchedule(config.faults)
        self._is_open = False
        self._closed = threading.Event()
        self._next_ns = 0
        self._sequence = 0
        self._last: Reading | None = None
        self._spec = SensorSpec(
            name=config.name,
            modality="physical",
            tensor=TensorSpec(shape=config.shape, dtype=config.dtype),
            period_ns=self._period_ns,
            observes=("synthetic", "1"),
            is_bounded=all(fault.fault != "hang" for fault in config.faults),
        )

    @property
    def spec(self) -> SensorSpec:
        return self._spec

    def open(self) -> None:
        elapsed_ns = max(0, self._clock.now_ns() - self._epoch_ns)
        fault = self._schedule.at(elapsed_ns)
        if fault is not None and fault.fault == "raise":
            raise SensorUnavailable(f"{self._spec.name}: unplugged by its schedule")
        self._next_ns = -(-elapsed_ns // self._period_ns) * self._period_ns
        self._sequence = 0
        self._last = None
        self._closed.clear()
        self._is_open = True

    def read_into(self, out: np.ndarray) -> Reading | None:
        if not self._is_open:
            raise SensorError(f"{self._spec.name}: read while closed: call open() first")
        now_ns = self._clock.now_ns()
        at_ns = self._next_ns
        if now_ns - self._epoch_ns < at_ns:
            return None
        if self._stop_ns is not None and at_ns >= self._stop_ns:
            raise SourceExhausted(f"{self._spec.name}: end after {self._config.num_readings} readings")
        fault = self._schedule.at(at_ns)
        num_parts = fault.size if fault is not None and fault.fault == "flood" else 1.0
        self._next_ns = self._after(at_ns, num_parts)
        if fault is not None and fault.fault == "stale":
            return self._repeat(out)
        self._write(out, at_ns, fault)
        self._last = Reading(
            captured_ns=self._epoch_ns + at_ns,
            received_ns=now_ns,
            sequence=self._sequence,
            noise_std=self._config.noise_std,
        )
        self._sequence += 1
        return self._last

    def close(self) -> None:
        self._is_open = False
        self._closed.set()

    def _after(self, at_ns: int, num_parts: float) -> int:
        """The next reading's time: a grid point, or during a flood one of `num_parts` between two of them."""
        grid_ns = (at_ns // self._period_ns + 1) * self._period_ns
        return min(grid_ns, at_ns + max(1, int(self._period_ns / num_parts)))

    def _repeat(self, out: np.ndarray) -> Reading | None:
        if self._last is not None:
            self._put(out, self._signal.observe(self._last.captured_ns - self._epoch_ns))
        return self._last

    def _write(self, out: np.ndarray, at_ns: int, fault: FaultConfig | None) -> None:
        if fault is None or fault.fault == "flood":
            self._put(out, self._signal.observe(at_ns))
        elif fault.fault == "raise":
            raise SensorError(f"{self._spec.name}: unplugged by its schedule")
        elif fault.fault == "hang":
            self._closed.wait()
            raise SensorError(f"{self._spec.name}: hung until it was closed")
        elif fault.fault == "shape":
            out[...] = np.zeros((*self._config.shape, 2), dtype=self._config.dtype)
        else:
            self._put(out, self._wrong(at_ns, fault))

    def _wrong(self, at_ns: int, fault: FaultConfig) -> np.ndarray:
        """(size,): finite values that are wrong, or NaN."""
        values = self._signal.observe(round(fault.at_secs * 1e9) if fault.fault == "frozen" else at_ns)
        if fault.fault == "bias":
            values += fault.size
        elif fault.fault == "noise":
            values += fault.size * self._signal.extra_noise(at_ns)
        elif fault.fault == "nan":
            values[: math.ceil(fault.size)] = np.nan
        return values

    def _put(self, out: np.ndarray, values: np.ndarray) -> None:
        encoded = values if self._config.dtype == "float32" else np.clip((values + 4.0) * 32.0, 0, 255)
        out[...] = encoded.reshape(self._config.shape)
