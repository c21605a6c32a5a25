"""A topic of a ROS bag, replayed: a `.bag` file of ROS 1, or the folder of a bag of ROS 2."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from sage.errors import DataError
from sage.sensors.contract import SensorUnavailable
from sage.sensors.recordings.ros_types import import_rosbags
from sage.sensors.recordings.topic_sensor import TopicConfig, TopicFile, TopicSensor


class RosbagConfig(TopicConfig):
    """distribution: of ROS, whose definitions are used where a bag holds none, for example "ROS2_HUMBLE"."""

    kind: Literal["rosbag"] = "rosbag"
    distribution: str = "ROS2_HUMBLE"


class RosbagSensor(TopicSensor):
    """One message a read, at the time at which the bag got it."""

    Config = RosbagConfig

    def _open_file(self, path: Path) -> TopicFile:
        assert isinstance(self._config, RosbagConfig)
        return BagTopics(path, self._config.distribution)


class BagTopics:
    """A TopicFile."""

    def __init__(self, path: Path, distribution: str) -> None:
        highlevel, typesys = import_rosbags("rosbags.highlevel"), import_rosbags("rosbags.typesys")
        if path.is_file() and path.suffix != ".bag":
            raise SensorUnavailable(
                f"{path}: give a .bag file or the folder of a ROS 2 bag; kind `mcap` reads a single MCAP file"
            )
        known = [store.name for store in typesys.Stores if store.name != "EMPTY"]
        if distribution not in known:
            raise SensorUnavailable(f"distribution is {distribution!r}: give one of {', '.join(known)}")
        try:
            store = typesys.get_typestore(typesys.Stores[distribution])
            self._reader: Any = highlevel.AnyReader([path], default_typestore=store)
            self._reader.open()
        except Exception as error:  # around a package that raises what its parsers raise
            raise SensorUnavailable(f"{path}: not a ROS bag: {_line(error)}") from error

    @property
    def topics(self) -> Sequence[tuple[str, str]]:
        return [(each.topic, each.msgtype) for each in self._reader.connections]

    @property
    def start_ns(self) -> int:
        return int(self._reader.start_time)

    def messages(self, topic: str, from_ns: int) -> Iterator[tuple[int, Callable[[], Any]]]:
        connections = [each for each in self._reader.connections if each.topic == topic]
        try:
            for connection, time_ns, data in self._reader.messages(connections=connections, start=from_ns):
                yield int(time_ns), partial(self._decode, data, connection.msgtype)
        except Exception as error:  # as above
            raise DataError(f"the bag cannot be read on: {_line(error)}") from error

    def _decode(self, data: bytes, message_type: str) -> Any:
        try:
            return self._reader.deserialize(data, message_type)
        except Exception as error:  # as above
            raise DataError(f"a message cannot be read: {_line(error)}") from error

    def close(self) -> None:
        self._reader.close()


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
