"""From what a session does to the messages of its channels.

Invariant: a message's log time is when the loop or its thread got it, its publish time when it was measured,
both as the wall time of the run's start plus the time since then: the difference is exact. Each channel has
a topic of its own.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import numpy as np

from sage.app.recording.channels import (
    ERROR,
    EVENT_TOPIC,
    INFO,
    WARNING,
    ChannelSpec,
    MessageSink,
    coherence_channel,
    log_channel,
    pose_channel,
    reading_channel,
    reading_topic,
    sleep_channel,
    status_channel,
    text_channel,
    tick_channel,
)
from sage.app.recording.items import Item, Log, Readings, Reported, Status, Text
from sage.runtime.coherence.rows import CoherenceRow
from sage.runtime.report import SleepReport, TickReport, to_plain
from sage.sensors.contract import SensorSpec
from sage.sensors.recordings.codec import Form, encode_reading, form_of, keys_of, stamp

_FAULTS = ("fault", "crisis")


class Messages:
    """Used by one thread. epoch_ns, loop_epoch_ns: of the sensors and of the reports, on the run's clock.
    start_ns: wall time of epoch_ns.
    """

    def __init__(
        self,
        sink: MessageSink,
        specs: list[SensorSpec],
        *,
        epoch_ns: int,
        start_ns: int,
        loop_epoch_ns: int,
        jpeg: bool,
    ) -> None:
        self.num_written = 0
        self._sink = sink
        self._shift_ns = start_ns - epoch_ns
        self._report_ns = start_ns - epoch_ns + loop_epoch_ns
        self._channels = _Channels(sink, specs)
        self._sources = {spec.name: _Source(self._channels, spec, jpeg) for spec in specs}
        self._texts: dict[str, int] = {}
        self._tick = self._channels.add(tick_channel())
        self._event = self._channels.add(log_channel(EVENT_TOPIC))
        self._sleep = self._channels.add(sleep_channel())
        self._coherence = self._channels.add(coherence_channel())
        self._digest = hashlib.blake2b(digest_size=8)
        self._num_ticks = 0

    @property
    def run_digest(self) -> str:
        return self._digest.hexdigest()

    def write(self, item: Item) -> None:
        if isinstance(item, Readings):
            self._write_reading(item)
        elif isinstance(item, Status):
            self._write_status(item)
        elif isinstance(item, Text):
            self._write_text(item)
        elif isinstance(item, Log):
            self._write_event(item)
        else:
            self._write_report(item)

    def close(self, num_dropped: int, problem: str) -> None:
        ending = {
            "num_ticks": str(self._num_ticks),
            "num_dropped": str(num_dropped),
            "digest": self.run_digest,
            "problem": problem,
        }
        self._sink.close(ending)

    def _write_reading(self, item: Readings) -> None:
        source, reading, wants = self._sources[item.source], item.reading, self._sink.wants
        captured_ns, log_ns = reading.captured_ns + self._shift_ns, item.read_ns + self._shift_ns
        if wants(source.channel):
            message = encode_reading(
                item.values,
                reading,
                form=source.form,
                keys=source.keys,
                frame=item.source,
                stamp_ns=captured_ns,
            )
            self._put(source.channel, message, log_ns, captured_ns, reading.sequence)
        if source.pose is not None and wants(source.pose):
            pose = {"timestamp": stamp(captured_ns), "frame_id": "world", "pose": source.pose_of(item.values)}
            self._put(source.pose, pose, log_ns, captured_ns, reading.sequence)

    def _write_status(self, item: Status) -> None:
        at_ns = item.at_ns + self._shift_ns
        plain = {"timestamp": stamp(at_ns), "status": item.status, "message": item.message}
        self._put(self._sources[item.source].status, plain, at_ns, at_ns, 0)

    def _write_text(self, item: Text) -> None:
        at_ns, answer = item.at_ns + self._shift_ns, item.answer
        if item.source not in self._texts:
            self._texts[item.source] = self._channels.add(text_channel(item.source))
        plain = _log_message(at_ns, INFO, answer.text, item.source)
        plain |= {"sequence": answer.sequence, "right": answer.right}
        self._put(self._texts[item.source], plain, at_ns, at_ns, answer.sequence)

    def _write_event(self, item: Log) -> None:
        event, at_ns = item.event, item.at_ns + self._shift_ns
        level = ERROR if event.kind in _FAULTS else WARNING if event.kind == "missing" else INFO
        text = f"{event.kind}: {event.message}" if event.message else event.kind
        plain = _log_message(at_ns, level, text, event.source or "sage")
        plain |= {"kind": event.kind, "tick": event.tick, "data": dict(to_plain(event.data))}
        self._put(self._event, plain, at_ns, at_ns, event.tick)

    def _write_report(self, item: Reported) -> None:
        report = item.report
        if isinstance(report, TickReport):
            self._write_tick(report)
        elif isinstance(report, SleepReport):
            at_ns = item.at_ns + self._shift_ns
            self._put(self._sleep, {"timestamp": stamp(at_ns), **to_plain(report)}, at_ns, at_ns, report.tick)
        else:
            self._write_coherence(report)

    def _write_tick(self, report: TickReport) -> None:
        facts, timing = report.facts, report.timing
        at_ns = facts.time_ns + self._report_ns
        digest = facts.digest()
        self._digest.update(bytes.fromhex(digest))
        self._num_ticks += 1
        if not self._sink.wants(self._tick):
            return
        plain = {"timestamp": stamp(at_ns), "digest": digest, **to_plain(facts)}
        plain["timing"] = {"total_ns": timing.total_ns, "model_ns": timing.model_ns}
        self._put(self._tick, plain, at_ns, at_ns, facts.tick)

    def _write_coherence(self, row: CoherenceRow) -> None:
        at_ns = row.time_ns + self._report_ns
        self._put(self._coherence, {"timestamp": stamp(at_ns), **to_plain(row)}, at_ns, at_ns, row.tick)

    def _put(self, channel: int, plain: dict[str, Any], log_ns: int, publish_ns: int, sequence: int) -> None:
        if not self._sink.wants(channel):
            return
        data = json.dumps(plain, separators=(",", ":"), allow_nan=False).encode()
        self._sink.write(channel, data, log_ns=log_ns, publish_ns=publish_ns, sequence=sequence & 0xFFFFFFFF)
        self.num_written += 1


class _Channels:
    """Adds channels to a sink. The readings of a source have `/sensors/NAME`; another channel whose topic is
    taken, as `/sensors/x/status` is by a source `x/status`, gets a number: `/sensors/x/status_2`.
    """

    def __init__(self, sink: MessageSink, specs: list[SensorSpec]) -> None:
        self._sink = sink
        self._taken = {reading_topic(spec.name) for spec in specs}

    def add_readings(self, channel: ChannelSpec) -> int:
        return self._sink.add_channel(channel)

    def add(self, channel: ChannelSpec) -> int:
        topic, number = channel.topic, 1
        while topic in self._taken:
            number += 1
            topic = f"{channel.topic}_{number}"
        self._taken.add(topic)
        return self._sink.add_channel(replace(channel, topic=topic))


class _Source:
    """The channels of one source."""

    def __init__(self, channels: _Channels, spec: SensorSpec, jpeg: bool) -> None:
        form: Form = form_of(spec)
        is_colour = spec.tensor.shape[-1] == 3
        self.form: Form = "jpeg" if jpeg and form == "raw_image" and is_colour else form
        self.keys = keys_of(spec)
        self.channel = channels.add_readings(reading_channel(spec, self.form))
        self.status = channels.add(status_channel(spec))
        self._axes = _axes(spec)
        self.pose = channels.add(pose_channel(spec.name)) if self._axes else None

    def pose_of(self, values: np.ndarray) -> dict[str, Any]:
        """At the origin; without a turn where the values are not finite, as a viewer refuses null."""
        turn = {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0}
        if np.isfinite(values).all():
            turn = {axis: float(values[at]) for axis, at in self._axes.items()}
        return {"position": {"x": 0.0, "y": 0.0, "z": 0.0}, "orientation": turn}


def _axes(spec: SensorSpec) -> dict[str, int]:
    """Empty for a source that is no orientation. Channels w, x, y, z by name, else w first."""
    if spec.observes != ("orientation", "quaternion") or spec.tensor.shape != (4,):
        return {}
    if sorted(spec.channels) == ["w", "x", "y", "z"]:
        return {name: index for index, name in enumerate(spec.channels)}
    return {"w": 0, "x": 1, "y": 2, "z": 3}


def _log_message(at_ns: int, level: int, message: str, name: str) -> dict[str, Any]:
    return {
        "timestamp": stamp(at_ns),
        "level": level,
        "message": message,
        "name": name,
        "file": "",
        "line": 0,
    }
