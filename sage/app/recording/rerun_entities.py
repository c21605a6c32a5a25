"""Messages of our channels as entities of rerun. A file and the live server have the same.

Invariant: an entity belongs to one channel, as its path begins with the channel's topic. A value that is
undefined is NaN.
"""

from __future__ import annotations

import base64
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sage.app.recording.channels import (
    COHERENCE_TOPIC,
    ERROR,
    EVENT_TOPIC,
    INFO,
    SLEEP_TOPIC,
    TICK_TOPIC,
    WARNING,
    ChannelSpec,
)
from sage.sensors.recordings.codec import FORM_KEY, SOURCE_KEY, SPEC_KEY, STATUS_FORM

#: Of each source in a tick.
SOURCE_SERIES = ("trust", "weight", "surprise", "novelty", "salience", "error", "quality")
#: Of a tick: group -> values.
_TICK_SERIES = {
    "coherence": ("coherence", "xerr", "agreement", "correctness"),
    "learning": ("loss", "gate"),
    "memory": ("salience", "num_kept"),
}
_NIGHT_SERIES = ("loss_before", "loss_after", "gain", "gain_low", "gain_high")
_WINDOW_SERIES = ("value", "null_mean", "z")
_LEVELS = {1: "DEBUG", INFO: "INFO", WARNING: "WARN", ERROR: "ERROR", 5: "CRITICAL"}
_COLOURS = {"mono8": "L", "rgb8": "RGB", "rgba8": "RGBA"}
Kind = Literal["series", "picture", "tensor", "bars", "pose", "text", "report"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What is logged at once. data: archetypes.  is_static: it holds at all times."""

    path: str
    data: tuple[Any, ...]
    is_static: bool = False


class Entities(ABC):
    """Of one channel. title, kind: for the layout."""

    kind: Kind

    def __init__(self, rerun: Any, channel: ChannelSpec) -> None:
        self._rerun = rerun
        self._parts = [part for part in channel.topic.split("/") if part]
        self.path = self._path()
        self.title = channel.topic.removeprefix("/sensors/")
        observes, unit = (channel.metadata.get(key, "") for key in ("observes", "unit"))
        if observes:
            self.title += f": {observes}" + (f" in {unit}" if unit not in ("", "1") else "")

    @abstractmethod
    def entries(self, message: dict[str, Any]) -> Iterator[Entry]:
        """Of one message. KeyError, TypeError or ValueError for one that is damaged."""

    def tick_of(self, message: dict[str, Any]) -> int | None:
        """The tick that the message is of, where it has one."""
        tick = message.get("tick")
        return int(tick) if isinstance(tick, int) and tick >= 0 else None

    def _path(self, *more: str) -> str:
        path: str = self._rerun.new_entity_path([*self._parts, *more])
        return path


class _Series:
    """An entity of several lines: their names, before its first values and where they change, and values."""

    def __init__(self, rerun: Any, path: str) -> None:
        self._rerun = rerun
        self._path = path
        self._names: tuple[str, ...] = ()

    def entries(self, names: Sequence[str], values: Sequence[Any], *more: Any) -> Iterator[Entry]:
        if tuple(names) != self._names:
            self._names = tuple(names)
            yield Entry(self._path, (self._rerun.SeriesLines(names=self._names),), is_static=True)
        numbers = [math.nan if value is None else float(value) for value in values]
        yield Entry(self._path, (self._rerun.Scalars(numbers), *more))


class _Reading(Entities):
    """Readings of one source."""

    def _facts(self, message: dict[str, Any]) -> Any:
        """What is known of a reading beside its values."""
        noise = message["noise_std"]
        facts = {
            "sequence": np.array([message["sequence"]], dtype=np.int64),
            "noise_std": np.array([math.nan if noise is None else noise], dtype=np.float64),
            "quality": np.array([message["quality"]], dtype=np.float64),
            "confidence": np.array([message["confidence"]], dtype=np.float64),
            "health": [message.get("health", "")],  # not in recordings of earlier versions
        }
        return self._rerun.DynamicArchetype("sage.Reading", components=facts)


class _Values(_Reading):
    kind: Kind = "series"

    def __init__(self, rerun: Any, channel: ChannelSpec) -> None:
        super().__init__(rerun, channel)
        self._names = list(json.loads(channel.metadata[SPEC_KEY])["channels"])
        self._series = _Series(rerun, self.path)

    def entries(self, message: dict[str, Any]) -> Iterator[Entry]:
        given = message["values"]
        values = list(given.values()) if isinstance(given, dict) else list(given)
        names = self._names or [f"c{index}" for index in range(len(values))]
        yield from self._series.entries(names, values, self._facts(message))


class _Tensor(_Reading):
    """Of one dimension as bars, as the viewer shows a tensor of one dimension as a single line of pixels."""

    def __init__(self, rerun: Any, channel: ChannelSpec) -> None:
        super().__init__(rerun, channel)
        shape = json.loads(channel.metadata[SPEC_KEY])["tensor"]["shape"]
        self.kind: Kind = "bars" if len(shape) == 1 else "tensor"

    def entries(self, message: dict[str, Any]) -> Iterator[Entry]:
        array = np.frombuffer(base64.b64decode(message["data"]), dtype=message["dtype"])
        array = array.reshape(message["shape"])
        is_binary = array.dtype == np.bool_
        array = array.view(np.uint8) if is_binary else array
        if self.kind == "bars":
            drawn = self._rerun.BarChart(array)
        else:
            drawn = self._rerun.Tensor(array, value_range=(0, 1) if is_binary else None)
        yield Entry(self.path, (drawn, self._facts(message)))


class _Picture(_Reading):
    kind: Kind = "picture"

    def entries(self, message: dict[str, Any]) -> Iterator[Entry]:
        picture = self._rerun.Image(
            bytes=base64.b64decode(message["data"]),
            width=message["width"],
            height=message["height"],
            color_model=_COLOURS[message["encoding"]],
            datatype="U8",
        )
        yield Entry(self.path, (picture, self._facts(message)))


class _Jpeg(_Reading):
    kind: Kind = "picture"

    def entries(self, message: dict[str, Any]) -> Iterator[Entry]:
        data = base64.b64decode(message["data"])
        picture = self._rerun.EncodedImage(contents=data, media_type="image/jpeg")
        yield Entry(self.path, (picture, self._facts(message)))


class _Pose(Entities):
    kind: Kind = "pose"
    _has_axes = False

    def entries(self, message: dict[str, Any]) -> Iterator[Entry]:
        if not self._has_axes:
            self._has_axes = True
            yield Entry(self.path, (self._rerun.TransformAxes3D(1.0),), is_static=True)
        place, turn = message["pose"]["position"], message["pose"]["orientation"]
        transform = self._rerun.Transform3D(
            translation=[place[axis] for axis in "xyz"],
            quaternion=self._rerun.Quaternion(xyzw=[turn[axis] for axis in "xyzw"]),
        )
        yield Entry(self.path, (transform,))


class _Status(Entities):
    """Faults and the end of one source."""

    kind: Kind = "text"

    def entries(self, message: dict[str, Any]) -> Iterator[Entry]:
        status, reason = message["status"], message["message"]
        text = f"{status}: {reason}" if reason else status
        level = "ERROR" if status == "fault" else "INFO"
        yield Entry(self.path, (self._rerun.TextLog(text, level=level),))


class _Log(Entities):
    """Texts of one source; or events, which have its name behind their path."""

    kind: Kind = "text"

    def __init__(self, rerun: Any, channel: ChannelSpec) -> None:
        super().__init__(rerun, channel)
        self._has_sources = SOURCE_KEY not in channel.metadata

    def entries(self, message: dict[str, Any]) -> Iterator[Entry]:
        source = message["name"] if self._has_sources else ""
        path = self.path if source in ("", "sage") else self._path(*filter(None, source.split("/")))
        level = _LEVELS.get(message["level"], "INFO")
        yield Entry(path, (self._rerun.TextLog(message["message"], level=level),))


class _Tick(Entities):
    kind: Kind = "report"

    def __init__(self, rerun: Any, channel: ChannelSpec) -> None:
        super().__init__(rerun, channel)
        names = ("model", "timing", *SOURCE_SERIES, *_TICK_SERIES)
        self._series = {name: _Series(rerun, self._path(name)) for name in names}
        self._actions: dict[str, _Series] = {}
        self._sources: list[str] = []
        self._state = ""

    def entries(self, message: dict[str, Any]) -> Iterator[Entry]:
        if message["state"] != self._state:
            self._state = message["state"]
            yield Entry(self._path("state"), (self._rerun.StateChange(state=self._state),))
        yield from self._of("model", {name: message.get(name) for name in ("num_segments", "value")})
        timing = message.get("timing", {})
        times = {f"{name}_ms": timing.get(f"{name}_ns", math.nan) / 1e6 for name in ("total", "model")}
        yield from self._of("timing", times)
        for group, names in _TICK_SERIES.items():
            yield from self._of(group, {name: message.get(group, {}).get(name) for name in names})
        sources = {source["name"]: source for source in message["sources"]}
        self._sources += [name for name in sources if name not in self._sources]
        for name in SOURCE_SERIES:
            values = [sources.get(source, {}).get(name) for source in self._sources]
            yield from self._series[name].entries(self._sources, values)
        for action in message.get("actions", ()):
            yield from self._done(action["effector"], action["done"])

    def _of(self, group: str, values: Mapping[str, Any]) -> Iterator[Entry]:
        yield from self._series[group].entries(list(values), list(values.values()))

    def _done(self, effector: str, values: Sequence[Any]) -> Iterator[Entry]:
        """What an effector did; nothing where it was held."""
        if not values:
            return
        if effector not in self._actions:
            path = self._path("actions", *filter(None, effector.split("/")))
            self._actions[effector] = _Series(self._rerun, path)
        yield from self._actions[effector].entries([f"c{at}" for at in range(len(values))], values)


class _Night(Entities):
    kind: Kind = "report"

    def __init__(self, rerun: Any, channel: ChannelSpec) -> None:
        super().__init__(rerun, channel)
        self._series = _Series(rerun, self._path("figures"))

    def entries(self, message: dict[str, Any]) -> Iterator[Entry]:
        outcome, reason = message["outcome"], message["reason"]
        text = f"night {outcome}: {reason}" if reason else f"night {outcome}"
        yield Entry(self.path, (self._rerun.TextLog(text, level="INFO"),))
        yield from self._series.entries(_NIGHT_SERIES, [message.get(name) for name in _NIGHT_SERIES])


class _Window(Entities):
    """A coherence figure of one window, with its chance level."""

    kind: Kind = "report"

    def __init__(self, rerun: Any, channel: ChannelSpec) -> None:
        super().__init__(rerun, channel)
        self._series: dict[tuple[str, str], _Series] = {}

    def entries(self, message: dict[str, Any]) -> Iterator[Entry]:
        key = (message["metric"], message["modules"])
        if key not in self._series:
            self._series[key] = _Series(self._rerun, self._path(*filter(None, key)))
        values = [message.get(name) for name in _WINDOW_SERIES]
        yield from self._series[key].entries(_WINDOW_SERIES, values)


_FORMS: dict[str, type[Entities]] = {
    "values": _Values,
    "tensor": _Tensor,
    "raw_image": _Picture,
    "jpeg": _Jpeg,
    STATUS_FORM: _Status,
}
_TOPICS: dict[str, type[Entities]] = {
    TICK_TOPIC: _Tick,
    EVENT_TOPIC: _Log,
    SLEEP_TOPIC: _Night,
    COHERENCE_TOPIC: _Window,
}
_SCHEMAS: dict[str, type[Entities]] = {"foxglove.Log": _Log, "foxglove.PoseInFrame": _Pose}


def entities_of(rerun: Any, channel: ChannelSpec) -> Entities | None:
    """None for a channel that is not of a session."""
    form = channel.metadata.get(FORM_KEY, "")
    made = _FORMS.get(form) or _TOPICS.get(channel.topic) or _SCHEMAS.get(channel.schema_name)
    return None if made is None else made(rerun, channel)
