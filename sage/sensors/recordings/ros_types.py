"""ROS messages decoded with the definitions that their file holds, by the package rosbags."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from sage.errors import DataError
from sage.sensors.contract import SensorUnavailable


def import_rosbags(module: str) -> ModuleType:
    """SensorUnavailable without the package."""
    from importlib import import_module

    try:
        import rosbags  # noqa: F401  the package that is missing, not one of its modules

        return import_module(module)
    except ImportError as error:
        raise SensorUnavailable(
            "ROS messages need the package rosbags: pip install 'sage-runtime[sensors]'"
        ) from error


def ros_decoder(name: str, encoding: str, text: str, *, is_ros1: bool) -> Callable[[bytes], Any]:
    """encoding: of the definition, "ros1msg", "ros2msg" or "ros2idl". DataError for a text that cannot be
    read.
    """
    typesys = import_rosbags("rosbags.typesys")
    store = typesys.get_typestore(typesys.Stores.EMPTY)
    full = name if name.count("/") == 2 else name.replace("/", "/msg/")
    try:
        found = (
            typesys.get_types_from_idl(text)
            if encoding == "ros2idl"
            else typesys.get_types_from_msg(text, full)
        )
        base = typesys.get_typestore(typesys.Stores.ROS1_NOETIC if is_ros1 else typesys.Stores.ROS2_HUMBLE)
        store.register({**{key: value for key, value in base.fielddefs.items() if key not in found}, **found})
    except Exception as error:  # around a parser of a file's text
        raise DataError(f"the definition of {name} cannot be read: {error}") from error
    decode = store.deserialize_ros1 if is_ros1 else store.deserialize_cdr

    def call(data: bytes) -> Any:
        try:
            return decode(data, full)
        except Exception as error:  # as above
            raise DataError(f"a message of {name} cannot be decoded: {error}") from error

    return call
