"""The channels of a recording: topics, schemas and metadata. A file and the live server have the same.

Invariant: every schema is complete, so that a viewer needs no configuration.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from sage.sensors.contract import SensorSpec
from sage.sensors.recordings.codec import (
    FORM_KEY,
    SOURCE_KEY,
    SPEC_KEY,
    STATUS_FORM,
    TEXT_FORM,
    Form,
    keys_of,
    plain_spec,
)

TICK_TOPIC, EVENT_TOPIC = "/sage/tick", "/sage/events"
SLEEP_TOPIC, COHERENCE_TOPIC = "/sage/sleep", "/sage/coherence"
#: foxglove.Log's levels.
INFO, WARNING, ERROR = 2, 3, 4

_NUMBER: dict[str, Any] = {"type": "number"}
_INTEGER: dict[str, Any] = {"type": "integer"}
_TEXT: dict[str, Any] = {"type": "string"}
_BYTES: dict[str, Any] = {"type": "string", "contentEncoding": "base64"}
_TIME: dict[str, Any] = {
    "type": "object",
    "title": "time",
    "properties": {"sec": {"type": "integer", "minimum": 0}, "nsec": {"type": "integer", "minimum": 0}},
}
_READING = {
    "sequence": _INTEGER,
    "noise_std": _NUMBER,
    "quality": _NUMBER,
    "confidence": _NUMBER,
    "health": _TEXT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSpec:
    """One channel. schema: a JSON schema, of the name `schema_name`."""

    topic: str
    schema_name: str
    schema: dict[str, Any]
    metadata: dict[str, str] = field(default_factory=dict)


class MessageSink(Protocol):
    """Where messages go. Used by one thread. Times are wall time in ns."""

    def add_channel(self, channel: ChannelSpec) -> int:
        """Its number."""
        ...

    def wants(self, channel: int) -> bool:
        """Whether a message of this channel goes anywhere now."""
        ...

    def write(self, channel: int, data: bytes, *, log_ns: int, publish_ns: int, sequence: int) -> None:
        """data: a JSON document."""
        ...

    def close(self, ending: dict[str, str]) -> None:
        """ending: figures of the whole, for a sink that keeps them."""
        ...


def _object(title: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {"title": title, "type": "object", "properties": {"timestamp": _TIME, **properties}}


def reading_topic(source: str) -> str:
    """Of the readings of one source."""
    return f"/sensors/{source}"


def reading_channel(spec: SensorSpec, form: Form) -> ChannelSpec:
    """Of the readings of one source: its spec is in the metadata."""
    name, properties = _schema_of(spec, form)
    if form in ("raw_image", "jpeg"):
        unit = "of pixels"
    else:
        unit = f"{spec.observes[0]} in {spec.observes[1]}"
    return ChannelSpec(
        topic=reading_topic(spec.name),
        schema_name=name,
        schema=_object(name, properties | _READING) | {"description": unit},
        metadata={
            SOURCE_KEY: spec.name,
            FORM_KEY: form,
            SPEC_KEY: plain_spec(spec),
            "observes": spec.observes[0],
            "unit": spec.observes[1],
        },
    )


def _schema_of(spec: SensorSpec, form: Form) -> tuple[str, dict[str, Any]]:
    """Its name and properties. Names of SAGE's own are by source, as its values are."""
    if form == "raw_image":
        sizes = {name: _INTEGER for name in ("width", "height", "step")}
        return "foxglove.RawImage", {"frame_id": _TEXT, **sizes, "encoding": _TEXT, "data": _BYTES}
    if form == "jpeg":
        return "foxglove.CompressedImage", {"frame_id": _TEXT, "format": _TEXT, "data": _BYTES}
    if form == "tensor":
        return "sage.Tensor", {
            "dtype": _TEXT,
            "shape": {"type": "array", "items": _INTEGER},
            "data": _BYTES,
        }
    keys = keys_of(spec)
    value = _NUMBER | {"description": spec.observes[1]}
    values: dict[str, Any] = (
        {"type": "object", "properties": {key: value for key in keys}}
        if keys
        else {"type": "array", "items": value}
    )
    return f"sage.Reading.{spec.name}", {"values": values}


def status_channel(spec: SensorSpec) -> ChannelSpec:
    """Faults and the end of one source."""
    return ChannelSpec(
        topic=f"/sensors/{spec.name}/status",
        schema_name="sage.SourceStatus",
        schema=_object("sage.SourceStatus", {"status": _TEXT, "message": _TEXT}),
        metadata={SOURCE_KEY: spec.name, FORM_KEY: STATUS_FORM},
    )


def log_channel(topic: str, metadata: dict[str, str] | None = None) -> ChannelSpec:
    fields = {"level": _INTEGER, "message": _TEXT, "name": _TEXT, "file": _TEXT, "line": _INTEGER}
    return ChannelSpec(
        topic=topic,
        schema_name="foxglove.Log",
        schema=_object("foxglove.Log", fields),
        metadata=metadata or {},
    )


def text_channel(source: str) -> ChannelSpec:
    """The texts of one source."""
    return log_channel(f"/sensors/{source}/text", {SOURCE_KEY: source, FORM_KEY: TEXT_FORM})


def pose_channel(source: str) -> ChannelSpec:
    """The orientation of one source at the origin, for Foxglove's 3D panel. Not replayed."""
    vector = {"type": "object", "properties": {axis: _NUMBER for axis in "xyz"}}
    turn = {"type": "object", "properties": {axis: _NUMBER for axis in "xyzw"}}
    pose = {"type": "object", "properties": {"position": vector, "orientation": turn}}
    name = "foxglove.PoseInFrame"
    return ChannelSpec(
        topic=f"/sensors/{source}/pose",
        schema_name=name,
        schema=_object(name, {"frame_id": _TEXT, "pose": pose}),
    )


def tick_channel() -> ChannelSpec:
    """The facts of a tick as its report has them, and their digest. `sources` is by name."""
    scores = {"type": "object", "additionalProperties": True}
    properties = {
        "tick": _INTEGER,
        "digest": _TEXT,
        "state": _TEXT,
        "coherence": scores,
        "memory": scores,
        "learning": scores,
        "sources": {"type": "array", "items": {"type": "object", "properties": {"name": _TEXT}}},
        "timing": scores,
    }
    return ChannelSpec(topic=TICK_TOPIC, schema_name="sage.Tick", schema=_object("sage.Tick", properties))


def sleep_channel() -> ChannelSpec:
    properties = {"outcome": _TEXT, "reason": _TEXT, "tick": _INTEGER, "gain": _NUMBER}
    return ChannelSpec(topic=SLEEP_TOPIC, schema_name="sage.Sleep", schema=_object("sage.Sleep", properties))


def coherence_channel() -> ChannelSpec:
    properties = {"metric": _TEXT, "modules": _TEXT, "tick": _INTEGER, "value": _NUMBER, "z": _NUMBER}
    return ChannelSpec(
        topic=COHERENCE_TOPIC, schema_name="sage.Coherence", schema=_object("sage.Coherence", properties)
    )
