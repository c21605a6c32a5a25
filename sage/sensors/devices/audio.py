"""Sound from a file, a microphone or a generator, in chunks of float32 in -1..1.

Invariant: chunks follow each other without gap or overlap; a chunk's captured_ns is that of its last sample.
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
    """chunk_secs: length of one reading.  rate_hz: samples a second, after resampling.  mono: one channel
    (n,), else (n, 2).
    """

    kind: Literal["audio"] = "audio"
    device_format: str | None = "alsa"
    chunk_secs: float = Field(0.1, ge=0.005, le=60)
    rate_hz: int = Field(16_000, ge=1000, le=192_000)
    mono: bool = True


class AudioSensor:
    """One chunk a read. Bounded for files and generators; a read of a microphone waits, on its driver's
    thread.
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
        """A microphone is on."""
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
        self._playback.stop()
        self._source.close()

    def _next_live(self) -> tuple[np.ndarray, int]:
        """Waits for the microphone; stamped on receipt."""
        assert self._live is not None
        chunk = next(self._live, None)
        if chunk is None:
            raise SensorError(f"{self._spec.name}: the microphone ended its stream")
        return chunk[0], self._clock.now_ns()

    def _chunks(self, from_secs: float) -> Iterator[tuple[np.ndarray, float]]:
        """(chunk, seconds at its end). The first begins at `from_secs`; an incomplete last one is left
        out.
        """
        rate_hz, num_samples = self._config.rate_hz, self._num_samples
        held = self._nothing()  # (n,) or (n, 2): samples that are in no chunk yet
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
        """(samples at rate_hz, seconds of the first), a frame of the source at a time; at the end the samples
        that the resampling filter still holds.
        """
        mixer = _Mixer(self._config)
        end_secs = from_secs
        for frame, secs in self._source.frames(from_secs):
            yield mixer.mix(frame), secs
            end_secs = secs + frame.samples / frame.sample_rate
        yield mixer.rest(), end_secs

    def _nothing(self) -> np.ndarray:
        return np.empty((0,) if self._config.mono else (0, 2), dtype=np.float32)


class _Mixer:
    """Converts frames to float32 of the config's rate and channels, within -1..1.

    The weights that a channel of the output is made with add up to 1 at most: channels at full scale mix to
    full scale. What a resampling filter overshoots is clipped.
    """

    def __init__(self, config: AudioConfig) -> None:
        self._rate_hz = config.rate_hz
        self._num_channels = 1 if config.mono else 2
        self._graph: Any = None
        self._form: tuple[int, str, str] | None = None

    def mix(self, frame: Any) -> np.ndarray:
        """(n,) or (n, 2) float32."""
        form = (frame.sample_rate, frame.format.name, frame.layout.name)
        before = []
        if form != self._form:
            before = [] if self._graph is None else self._flushed()
            self._graph = self._new_graph(*form, time_base=frame.time_base)
            self._form = form
        self._graph.push(frame)
        return self._joined([*before, *self._pulled()])

    def rest(self) -> np.ndarray:
        """What the resampling filter holds back until it gets more; nothing can be mixed afterwards."""
        return self._joined([] if self._graph is None else self._flushed())

    def _flushed(self) -> list[np.ndarray]:
        self._graph.push(None)
        return list(self._pulled())

    def _joined(self, pieces: list[np.ndarray]) -> np.ndarray:
        samples = np.concatenate(pieces) if pieces else np.empty(0, dtype=np.float32)
        np.clip(samples, -1.0, 1.0, out=samples)
        return samples if self._num_channels == 1 else samples.reshape(-1, 2)

    def _pulled(self) -> Iterator[np.ndarray]:
        import av.error

        while True:
            try:
                frame = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            yield frame.to_ndarray().reshape(-1)

    def _new_graph(self, rate_hz: int, sample_format: str, layout: str, *, time_base: Any) -> Any:
        """FFmpeg's own mixing matrix, normalised (rematrix_maxval=1): without it stereo mixes to 1.41."""
        from av.filter import Graph

        graph = Graph()
        graph.threads = 1  # no pool: PyAV 19 leaves its end to the garbage collector
        layouts = "mono" if self._num_channels == 1 else "stereo"
        nodes = (
            graph.add_abuffer(sample_rate=rate_hz, format=sample_format, layout=layout, time_base=time_base),
            graph.add("aresample", f"{self._rate_hz}:rematrix_maxval=1"),
            graph.add("aformat", f"sample_fmts=flt:channel_layouts={layouts}"),
            graph.add("abuffersink"),
        )
        graph.link_nodes(*nodes)
        graph.configure()
        return graph
