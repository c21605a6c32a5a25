"""Sound: a file, a microphone, or a generated tone, in chunks of float32 in -1..1.

Invariant: chunks follow each other without gap or overlap, and a chunk's captured_ns is that of its last
sample.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from pydantic import Field

from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.contract import Reading, SensorContext, SensorError, SensorSpec
from sage.sensors.devices.media import MediaConfig, MediaSource, Playback

#: A jump of the source's time larger than this starts a new chunk; smaller ones are rounding.
MAX_JUMP_SECS = 0.05


class AudioConfig(MediaConfig):
    """chunk_secs: of one reading.  rate_hz: samples a second, resampled to this.  mono: one channel (n,),
    else (n, 2).
    """

    kind: Literal["audio"] = "audio"
    device_format: str | None = "alsa"
    chunk_secs: float = Field(0.1, ge=0.005, le=60)
    rate_hz: int = Field(16_000, ge=1000, le=192_000)
    mono: bool = True


class AudioSensor:
    """One chunk a read. Bounded for files and generators; a microphone is waited for, in a thread of its
    driver's.
    """

    Config = AudioConfig

    def __init__(self, config: AudioConfig, context: SensorContext) -> None:
        self._config = config
        self._clock = context.clock
        self._source = MediaSource(config, context, kind="audio")
        duration_secs = math.inf if self._source.is_live else self._source.facts().duration_secs
        self._num_samples = round(config.chunk_secs * config.rate_hz)
        self._playback = Playback(self._chunks, config, context.epoch_ns, duration_secs)
        self._live: Iterator[tuple[np.ndarray, float]] | None = None
        self._is_open = False
        self._sequence = 0
        self._spec = SensorSpec(
            name=config.name,
            modality="physical",
            tensor=TensorSpec(shape=(self._num_samples,) if config.mono else (self._num_samples, 2)),
            period_ns=round(self._num_samples / config.rate_hz * 1e9),
            observes=("sound pressure", "full scale"),
            is_bounded=not self._source.is_live,
        )

    @property
    def spec(self) -> SensorSpec:
        return self._spec

    @property
    def is_recording(self) -> bool:
        """A microphone is on now."""
        return self._source.is_recording

    def open(self) -> None:
        self._source.open({})
        self._sequence = 0
        self._is_open = True
        if self._source.is_live:
            self._live = self._chunks(0.0)
        else:
            self._playback.start(self._clock.now_ns())

    def read_into(self, out: np.ndarray) -> Reading | None:
        if not self._is_open:
            raise SensorError(f"{self._spec.name}: read while closed: call open() first")
        due = self._next_live() if self._live is not None else self._playback.next_due(self._clock.now_ns())
        if due is None:
            return None
        chunk, captured_ns = due
        out[...] = chunk
        self._sequence += 1
        return Reading(captured_ns=captured_ns, received_ns=self._clock.now_ns(), sequence=self._sequence - 1)

    def close(self) -> None:
        self._is_open = False
        self._live = None
        self._source.close()

    def _next_live(self) -> tuple[np.ndarray, int]:
        """Waits for the microphone; stamped on receipt."""
        assert self._live is not None
        chunk = next(self._live, None)
        if chunk is None:
            raise SensorError(f"{self._spec.name}: the microphone ended its stream")
        return chunk[0], self._clock.now_ns()

    def _chunks(self, from_secs: float) -> Iterator[tuple[np.ndarray, float]]:
        """(chunk, seconds at its end). The first begins at `from_secs`; an incomplete last one is not
        told.
        """
        rate_hz, num_samples = self._config.rate_hz, self._num_samples
        held = self._nothing()  # (n,) or (n, 2): samples not told yet
        start_secs = math.nan  # of held
        for samples, secs in self._resampled(from_secs):
            if not abs(start_secs + len(held) / rate_hz - secs) <= MAX_JUMP_SECS and not self._source.is_live:
                skip = min(len(samples), max(0, round((from_secs - secs) * rate_hz)))
                held, start_secs = samples[skip:], secs + skip / rate_hz
                if len(held) == 0:
                    start_secs = math.nan
            else:
                held = np.concatenate((held, samples))
            while len(held) >= num_samples:
                start_secs += num_samples / rate_hz
                yield held[:num_samples], start_secs
                held = held[num_samples:]

    def _resampled(self, from_secs: float) -> Iterator[tuple[np.ndarray, float]]:
        """(samples at rate_hz, seconds of the first), a frame of the source at a time."""
        import av

        resampler: Any = av.AudioResampler(
            format="flt", layout="mono" if self._config.mono else "stereo", rate=self._config.rate_hz
        )
        for frame, secs in self._source.frames(from_secs):
            pieces = [piece.to_ndarray().reshape(-1) for piece in resampler.resample(frame)]
            samples = np.concatenate(pieces) if pieces else np.empty(0, dtype=np.float32)
            yield samples if self._config.mono else samples.reshape(-1, 2), secs

    def _nothing(self) -> np.ndarray:
        return np.empty((0,) if self._config.mono else (0, 2), dtype=np.float32)
