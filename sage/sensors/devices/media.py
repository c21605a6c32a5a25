"""What the video and the audio sensor share: files, devices and generators, through PyAV.

Invariant: frames of a file or a generator have its own time, counted from the container's start, so that the
streams of one file stay in step. A device that records people opens only with consent, and logs when it
records.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from sage.errors import DataError, InputError
from sage.sensors.config import SensorConfig
from sage.sensors.contract import SensorContext, SensorError, SensorUnavailable, SourceExhausted
from sage.sensors.devices.orientation import Orientation

OPEN_TIMEOUT_SECS = 5.0
#: Half a microsecond: a container's time base rounds.
ROUNDING_SECS = 5e-7


class MediaConfig(SensorConfig):
    """One of path (a file), device (with device_format, FFmpeg's name for its kind) or lavfi (a generator's
    description).

    consent: must be true for a device: cameras and microphones record people.
    start_secs, stop_secs: the part of a file or generator that is played.  time_zero_secs: its time at the
    run's start, start_secs when left out; earlier frames are left out.  loop: play a file again; a lap is
    from time_zero_secs to stop_secs, or to the end that the file states.
    """

    path: Path | None = None
    device: str | None = None
    device_format: str | None = None
    lavfi: str | None = None
    consent: bool = False
    start_secs: float = Field(0.0, ge=0)
    stop_secs: float | None = Field(None, gt=0)
    time_zero_secs: float | None = None
    loop: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> MediaConfig:
        if sum(source is not None for source in (self.path, self.device, self.lavfi)) != 1:
            raise InputError("give one of path, device or lavfi")
        if self.device is not None and not self.consent:
            raise InputError(
                f"device {self.device!r} records people: set `consent: true` if they agree, or remove it"
            )
        if self.loop and self.path is None:
            raise InputError("loop is true: only a file (path) can be looped")
        if self.stop_secs is not None and self.stop_secs <= self.zero_secs:
            raise InputError(
                f"stop_secs is {self.stop_secs}: give more than {self.zero_secs}, where playing starts"
            )
        return self

    @property
    def zero_secs(self) -> float:
        return self.start_secs if self.time_zero_secs is None else self.time_zero_secs


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFacts:
    """width, height: as shown, after `orientation`.  duration_secs: of the container, infinite for a
    generator.
    """

    width: int
    height: int
    rate_hz: float
    duration_secs: float
    orientation: Orientation = field(default_factory=Orientation)


class MediaSource:
    """One stream of one container. Opened, read and closed by one thread."""

    def __init__(
        self, config: MediaConfig, context: SensorContext, *, kind: Literal["video", "audio"]
    ) -> None:
        _import_av(config.name)  # a package that is missing is an error before anything is opened
        self._config = config
        self._kind = kind
        self._container: Any = None
        self._format: str | None = None
        if config.path is not None:
            self._location = str(context.base_dir / config.path)
        elif config.lavfi is not None:
            self._location = config.lavfi
            self._format = "lavfi"
        else:
            self._location = str(config.device)
            self._format = config.device_format

    @property
    def is_live(self) -> bool:
        return self._config.device is not None

    @property
    def is_recording(self) -> bool:
        """A device that records people is open."""
        return self.is_live and self._container is not None

    def facts(self) -> StreamFacts:
        """Opens and closes the container. Not for devices, which stay off until `open`."""
        self.open({})
        try:
            stream = self._stream()
            is_video = self._kind == "video"
            rate = (stream.average_rate or stream.guessed_rate or 0) if is_video else stream.rate
            duration = self._container.duration
            context = stream.codec_context
            orientation = self._orientation() if is_video else Orientation()
            width, height = orientation.size(context.width, context.height) if is_video else (0, 0)
            return StreamFacts(
                width=width,
                height=height,
                rate_hz=float(rate),
                duration_secs=math.inf if duration is None else duration / 1e6,
                orientation=orientation,
            )
        finally:
            self.close()

    def _orientation(self) -> Orientation:
        """Of the first frame: PyAV gives the display matrix with frames, not with streams."""
        try:
            first = None if self._config.path is None else next(self.frames(0.0), None)
            return Orientation() if first is None else Orientation.of_frame(first[0])
        except (DataError, SensorError) as error:
            raise SensorUnavailable(f"{self._config.name}: {self._location!r}: {error}") from error

    def open(self, options: dict[str, str]) -> None:
        """options: of the device's driver, by FFmpeg's names."""
        av = _import_av(self._config.name)
        if self._config.path is not None and not Path(self._location).is_file():
            raise SensorUnavailable(
                f"{self._location}: no such file: check `path`; a relative one is relative to the current"
                " directory"
            )
        timeout = (OPEN_TIMEOUT_SECS, self._config.hang_secs)
        try:
            self._container = av.open(self._location, format=self._format, options=options, timeout=timeout)
            self._stream()
        except (OSError, ValueError, av.FFmpegError) as error:
            self.close()
            raise SensorUnavailable(
                f"{self._config.name}: cannot open {self._location!r}: {error}: {self._remedy()}"
            ) from error
        if self.is_recording:
            self._log("recording starts")

    def frames(self, from_secs: float) -> Iterator[tuple[Any, float]]:
        """(frame, its seconds since the container's start), from the last one at or before `from_secs` that
        can be decoded.
        """
        av = _import_av(self._config.name)
        container, stream = self._container, self._stream()
        zero_secs = (container.start_time or 0) / 1e6
        try:
            if self._config.path is not None:
                container.seek(int((from_secs + zero_secs) * 1e6), backward=True)
            for frame in container.decode(stream):
                if self.is_live or frame.pts is not None:
                    yield frame, 0.0 if self.is_live else float(frame.pts * frame.time_base) - zero_secs
        except (OSError, ValueError, av.FFmpegError) as error:
            raise SensorError(f"{self._config.name}: {self._location!r} failed: {error}") from error

    def close(self) -> None:
        if self._container is None:
            return
        if self.is_recording:
            self._log("recording ends")
        self._container.close()
        self._container = None

    def _stream(self) -> Any:
        streams = self._container.streams.video if self._kind == "video" else self._container.streams.audio
        if not streams:
            raise InputError(f"no {self._kind} stream")
        return streams[0]

    def _log(self, event: str) -> None:
        import structlog  # a third of this module's import time, used by devices only

        log = structlog.get_logger("sage.sensors")
        log.warning(event, source=self._config.name, device=self._location, kind=self._kind)

    def _remedy(self) -> str:
        if self.is_live:
            return "check that it is plugged in and that this user may read it"
        return "check `lavfi`" if self._config.lavfi is not None else "give a file that FFmpeg can decode"


class Playback:
    """Plays the items of a recording on the run's clock, lap after lap.

    items(from_secs): the items from there on, each with its time in seconds, in order.  duration_secs: as the
    file states it, which can be an estimate: only the length of a lap depends on it. InputError for a loop
    without a length, or that ends before it begins.
    """

    def __init__(
        self,
        items: Callable[[float], Iterator[tuple[Any, float]]],
        config: MediaConfig,
        epoch_ns: int,
        duration_secs: float,
    ) -> None:
        self._items = items
        self._epoch_ns = epoch_ns
        self._zero_secs = config.zero_secs
        self._first_secs = max(config.start_secs, config.zero_secs)
        self._is_looped = config.loop
        self._stop_secs = math.inf if config.stop_secs is None else config.stop_secs
        if config.loop and config.stop_secs is None:
            self._stop_secs = duration_secs
        if config.loop:
            _check_lap(config, self._first_secs, self._stop_secs)
        self._lap_ns = round((self._stop_secs - config.zero_secs) * 1e9) if config.loop else 0
        self._name = config.name
        self._is_whole_lap = self._has_item = False
        self._playing: Iterator[tuple[Any, float]] | None = None
        self._item: Any = None
        self._due_ns = 0
        self._lap = 0

    def start(self, now_ns: int) -> None:
        """Start at the item that is due next on the clock, also when opened again."""
        elapsed_ns = max(0, now_ns - self._epoch_ns)
        self._lap = elapsed_ns // self._lap_ns if self._is_looped else 0
        within_secs = (elapsed_ns - self._lap * self._lap_ns) * 1e-9
        self._play(max(self._first_secs, self._zero_secs + within_secs))

    def stop(self) -> None:
        """End the decoder with its threads now, not when the garbage collector finds it."""
        playing, self._playing, self._item = self._playing, None, None
        if isinstance(playing, Generator):
            playing.close()

    def next_due(self, now_ns: int) -> tuple[Any, int] | None:
        """(item, its captured_ns) when it is due; None before; SourceExhausted at the end, SensorError for a
        loop without an item.
        """
        if self._playing is None:
            raise SourceExhausted("end of the recording")
        if now_ns < self._due_ns:
            return None
        if self._item is None:
            self._fetch()
            return self.next_due(now_ns)
        item, self._item = self._item, None
        return item, self._due_ns

    def _play(self, from_secs: float) -> None:
        self._from_secs = from_secs
        self._is_whole_lap, self._has_item = from_secs <= self._first_secs, False
        self._playing = self._items(from_secs)
        self._item = None
        self._due_ns = 0

    def _fetch(self) -> None:
        """The next item and when it is due; at the end of a lap, the next lap."""
        assert self._playing is not None
        for item, secs in self._playing:
            if secs > self._stop_secs:
                break
            if secs >= self._from_secs - ROUNDING_SECS:
                self._item, self._has_item = item, True
                self._due_ns = (
                    self._epoch_ns + self._lap * self._lap_ns + round((secs - self._zero_secs) * 1e9)
                )
                return
        if not self._is_looped:
            self._playing = None
            return
        if self._is_whole_lap and not self._has_item:
            raise SensorError(
                f"{self._name}: the loop of {self._first_secs:g} to {self._stop_secs:g} s has no reading:"
                " give a longer part of the file"
            )
        self._lap += 1
        self._play(self._first_secs)


def _check_lap(config: MediaConfig, first_secs: float, stop_secs: float) -> None:
    """InputError unless a lap has an end, after its begin."""
    if math.isinf(stop_secs):
        raise InputError(f"{config.name}: loop is true, and {config.path} states no duration: give stop_secs")
    if stop_secs <= first_secs:
        raise InputError(
            f"{config.name}: loop is true, and playing starts at {first_secs:g} s of a lap that ends at"
            f" {stop_secs:g} s: give a smaller start_secs or a larger stop_secs"
        )


def _import_av(name: str) -> Any:
    try:
        import av
    except ImportError as error:
        raise SensorUnavailable(
            f"{name}: video and audio need the package av: pip install 'sage-runtime[sensors]'"
        ) from error
    return av
