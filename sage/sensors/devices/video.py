"""Video frames from a file, a camera or a generator, as (H, W, 3) uint8, RGB, turned as players show them.

Invariant: a frame of a file or generator is read when it is due on the run's clock, with the same pixels each
time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from pydantic import Field

from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.contract import Reading, SensorContext, SensorError, SensorSpec
from sage.sensors.devices.media import (
    ROUNDING_SECS,
    MediaConfig,
    MediaSource,
    Playback,
    StreamFacts,
)

#: Requested of a camera where the config has none.
CAMERA = StreamFacts(width=640, height=480, rate_hz=30.0, duration_secs=float("inf"))


class VideoConfig(MediaConfig):
    """width, height: frames are scaled to this; the file's own size, or 640 x 480 of a camera, when left out.

    rate_hz: at most so many frames a second, chosen evenly; the source's own rate when left out.
    """

    kind: Literal["video"] = "video"
    device_format: str | None = "v4l2"
    width: int | None = Field(None, ge=2, le=8192)
    height: int | None = Field(None, ge=2, le=8192)
    rate_hz: float | None = Field(None, gt=0, le=1000)


class VideoSensor:
    """One frame a read. Bounded for files and generators; a read of a camera waits, on its driver's
    thread.
    """

    Config = VideoConfig

    def __init__(self, config: VideoConfig, context: SensorContext) -> None:
        self._config = config
        self._clock = context.clock
        self._source = MediaSource(config, context, kind="video")
        facts = CAMERA if self._source.is_live else self._source.facts()
        native_hz = facts.rate_hz or CAMERA.rate_hz
        self._rate_hz = native_hz if config.rate_hz is None else min(native_hz, config.rate_hz)
        self._width = config.width or facts.width
        self._height = config.height or facts.height
        self._orientation = facts.orientation
        self._playback = Playback(self._thinned, config, context.epoch_ns, facts.duration_secs)
        self._live: Iterator[tuple[Any, float]] | None = None
        self._reformatter: Any = None
        self._sequence = 0
        self._spec = SensorSpec(
            name=config.name,
            modality="physical",
            tensor=TensorSpec(shape=(self._height, self._width, 3), dtype="uint8"),
            period_ns=round(1e9 / self._rate_hz),
            observes=("light", "sRGB 0..255"),
            is_bounded=not self._source.is_live,
        )

    @property
    def spec(self) -> SensorSpec:
        return self._spec

    @property
    def is_recording(self) -> bool:
        """A camera is on."""
        return self._source.is_recording

    def open(self) -> None:
        options = {}
        if self._source.is_live:
            options = {"video_size": f"{self._width}x{self._height}", "framerate": f"{self._rate_hz:g}"}
        self._source.open(options)
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()
        self._sequence = 0
        if self._source.is_live:
            self._live = self._source.frames(0.0)
        else:
            self._playback.start(self._clock.now_ns())

    def read_into(self, out: np.ndarray) -> Reading | None:
        if self._reformatter is None:
            raise SensorError(f"{self._spec.name}: read while closed: call open() first")
        due = self._next_live() if self._live is not None else self._playback.next_due(self._clock.now_ns())
        if due is None:
            return None
        frame, captured_ns = due
        width, height = self._orientation.size(self._width, self._height)
        stored = self._reformatter.reformat(frame, width, height, "rgb24").to_ndarray()
        out[:] = self._orientation.upright(stored)
        self._sequence += 1
        return Reading(captured_ns=captured_ns, received_ns=self._clock.now_ns(), sequence=self._sequence - 1)

    def close(self) -> None:
        self._reformatter = None
        self._live = None
        self._playback.stop()
        self._source.close()

    def _next_live(self) -> tuple[Any, int]:
        """Waits for the camera. Stamped on receipt: only some devices stamp with the host's clock."""
        assert self._live is not None
        frame = next(self._live, None)
        if frame is None:
            raise SensorError(f"{self._spec.name}: the camera ended its stream")
        return frame[0], self._clock.now_ns()

    def _thinned(self, from_secs: float) -> Iterator[tuple[Any, float]]:
        """At most `rate_hz` frames a second, on a grid from the first: 30 Hz thinned to 20 is 20, not 15."""
        gap_secs = 0.0 if self._config.rate_hz is None else 1.0 / self._config.rate_hz
        next_secs = from_secs - max(ROUNDING_SECS, 1e-3 * gap_secs)
        for frame, secs in self._source.frames(from_secs):
            if secs >= next_secs:
                yield frame, secs
                next_secs = max(next_secs + gap_secs, secs - gap_secs)
