"""A source of a recorded run, replayed: the same readings, faults and texts at the same times.

Invariant: on a manual clock that ticks as the recorded one did, a driver delivers and counts the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from sage.errors import DataError
from sage.mailbox.clock import Clock
from sage.sensors.board import AnswerText, Board
from sage.sensors.config import SensorConfig
from sage.sensors.connections import SharedConnection
from sage.sensors.contract import (
    Reading,
    SensorContext,
    SensorError,
    SensorSpec,
    SensorUnavailable,
    SourceExhausted,
)
from sage.sensors.recordings.codec import (
    FORM_KEY,
    SOURCE_KEY,
    SPEC_KEY,
    STATUS_FORM,
    TEXT_FORM,
    decode_reading,
    decode_values,
    sensor_spec,
)
from sage.sensors.recordings.mcap_file import McapFile
from sage.sensors.recordings.recorded_stream import RecordedItem, RecordedStream


class RecordedConfig(SensorConfig):
    """path: an MCAP file that `sage run --record` wrote.  source: in it; the sensor's name when left out."""

    kind: Literal["recorded"] = "recorded"
    path: Path
    source: str | None = Field(None, min_length=1)


class RecordedSensor:
    """One item a read, when it is due. Bounded: the file is read as the clock goes on."""

    Config = RecordedConfig

    def __init__(self, config: RecordedConfig, context: SensorContext) -> None:
        self._path = context.base_dir / config.path
        self._source = config.source or config.name
        self._context = context
        self._clock: Clock = context.clock
        self._board = context.board if isinstance(context.board, Board) else None
        self._stream: SharedConnection[RecordedStream] | None = None
        self._spec, self._form = _described(self._path, self._source, config.name)

    @property
    def spec(self) -> SensorSpec:
        return self._spec

    def open(self) -> None:
        """Go on at the clock's time. SensorError where the recorded source failed to open at that time."""
        now_ns = self._elapsed_ns()
        key = ("recording", str(self._path))
        self._stream = self._context.connections.open(key, lambda: RecordedStream(self._path, now_ns))
        stream = self._stream.value
        stream.join(self._source, now_ns)
        item = self._peeked(now_ns)
        if item is not None and item.at_ns == now_ns and _is_fault(item):
            stream.take(self._source)
            self.close()
            raise SensorError(item.message["message"])

    def read_into(self, out: np.ndarray) -> Reading | None:
        if self._stream is None:
            raise SensorError(f"{self._spec.name}: read while closed: call open() first")
        stream, now_ns = self._stream.value, self._elapsed_ns()
        while (item := self._peeked(now_ns)) is not None:
            stream.take(self._source)
            if item.form == TEXT_FORM:
                self._post(item)
            elif item.form == STATUS_FORM:
                self._raise(item)
            else:
                return self._reading(item, out)
        if stream.is_over(self._source, now_ns):
            raise SourceExhausted(f"{self._spec.name}: end of the recording")
        return None

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.value.leave(self._source)
            stream.close()

    def _peeked(self, now_ns: int) -> RecordedItem | None:
        """The next item that is due. SensorError in a damaged place: opened again, it goes on behind that."""
        assert self._stream is not None
        try:
            return self._stream.value.peek(self._source, now_ns)
        except DataError as error:
            self._stream.invalidate()
            self.close()
            raise SensorError(str(error)) from error

    def _elapsed_ns(self) -> int:
        return max(0, self._clock.now_ns() - self._context.epoch_ns)

    def _reading(self, item: RecordedItem, out: np.ndarray) -> Reading:
        try:
            out[...] = decode_values(item.message, self._spec, item.form)
            return decode_reading(
                item.message,
                captured_ns=self._context.epoch_ns + item.captured_ns,
                received_ns=self._clock.now_ns(),
            )
        except DataError as error:
            raise SensorError(f"{self._path}: {error}: run `sage recording check`") from error

    def _post(self, item: RecordedItem) -> None:
        if self._board is not None:
            message = item.message
            answer = AnswerText(
                sequence=int(message["sequence"]), text=str(message["message"]), right=message["right"]
            )
            self._board.post_text(self._spec.name, answer)

    def _raise(self, item: RecordedItem) -> None:
        if _is_fault(item):
            raise SensorError(str(item.message["message"]))
        raise SourceExhausted(f"{self._spec.name}: end of the recording")


def _is_fault(item: RecordedItem) -> bool:
    return item.form == STATUS_FORM and item.message.get("status") == "fault"


def _described(path: Path, source: str, name: str) -> tuple[SensorSpec, str]:
    """The spec of a source in a recording, and the form of its readings. SensorUnavailable without it."""
    with McapFile(path) as file:
        found = {
            channel.metadata[SOURCE_KEY]: channel
            for channel in file.channels()
            if SPEC_KEY in channel.metadata
        }
    if source not in found:
        listed = ", ".join(sorted(found)) or "none: it is not a recording of a run"
        raise SensorUnavailable(f"{path}: no source {source!r}: it has {listed}")
    metadata = found[source].metadata
    try:
        return sensor_spec(metadata[SPEC_KEY], name), metadata[FORM_KEY]
    except DataError as error:
        raise SensorUnavailable(f"{path}: {error}") from error
