"""A topic of an MCAP file of any program, replayed: JSON, Protobuf, ROS 1 or ROS 2 messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from sage.sensors.recordings.mcap_decoding import decoder_of
from sage.sensors.recordings.mcap_file import McapFile
from sage.sensors.recordings.topic_sensor import TopicConfig, TopicFile, TopicSensor


class McapConfig(TopicConfig):
    """time: of a message: when it was logged, or when it was published."""

    kind: Literal["mcap"] = "mcap"
    time: Literal["log", "publish"] = "log"


class McapSensor(TopicSensor):
    """One message a read. For a recording of SAGE itself, bit for bit, see the kind `recorded`."""

    Config = McapConfig

    def _open_file(self, path: Path) -> TopicFile:
        assert isinstance(self._config, McapConfig)
        return McapTopics(path, is_published=self._config.time == "publish")


class McapTopics:
    """A TopicFile. Messages come in the order of their log times."""

    def __init__(self, path: Path, *, is_published: bool) -> None:
        self._file = McapFile(path)
        self._is_published = is_published
        statistics = self._file.summary.statistics
        self._start_ns = 0 if statistics is None else statistics.message_start_time

    @property
    def topics(self) -> Sequence[tuple[str, str]]:
        return [(channel.topic, self._file.schema_name(channel)) for channel in self._file.channels()]

    @property
    def start_ns(self) -> int:
        return self._start_ns

    def messages(self, topic: str, from_ns: int) -> Iterator[tuple[int, Callable[[], Any]]]:
        decoders: dict[int, Callable[[bytes], Any]] = {}

        def decode(schema: Any, channel: Any, data: bytes) -> Any:
            if channel.id not in decoders:
                decoders[channel.id] = decoder_of(channel.message_encoding, schema)
            return decoders[channel.id](data)

        # A message is published before it is logged.
        for schema, channel, record in self._file.messages(topics=[topic], starting_at=from_ns):
            time_ns = record.publish_time if self._is_published else record.log_time
            yield time_ns, partial(decode, schema, channel, record.data)

    def close(self) -> None:
        self._file.close()
