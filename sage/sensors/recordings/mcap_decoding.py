"""Decoders of the messages of an MCAP file, by their encoding: JSON, Protobuf, ROS 1 and ROS 2."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sage.errors import DataError
from sage.sensors.contract import SensorUnavailable
from sage.sensors.recordings.ros_types import ros_decoder

#: What `decoder_of` takes.
ENCODINGS = ("json", "protobuf", "ros1", "cdr")


def decoder_of(encoding: str, schema: Any) -> Callable[[bytes], Any]:
    """schema: a record of the file, or None. DataError for an encoding that cannot be read."""
    if encoding == "json":
        return _decode_json
    if encoding not in ENCODINGS:
        raise DataError(f"its messages are encoded as {encoding!r}: SAGE reads {', '.join(ENCODINGS)}")
    if schema is None:
        raise DataError(f"its messages are {encoding} without a schema: they cannot be read")
    if encoding == "protobuf":
        return _protobuf_decoder(schema.name, schema.data)
    text = schema.data.decode("utf-8", "replace")
    return ros_decoder(schema.name, schema.encoding, text, is_ros1=encoding == "ros1")


def _decode_json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"a message is no JSON: {error}") from error


def _protobuf_decoder(name: str, descriptors: bytes) -> Callable[[bytes], Any]:
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise SensorUnavailable(
            "Protobuf messages need the package protobuf: pip install 'sage-runtime[sensors]'"
        ) from error
    pool = descriptor_pool.DescriptorPool()
    try:
        for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors).file:
            pool.Add(file)
        message_class = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
    except (DecodeError, KeyError, TypeError) as error:
        raise DataError(f"the schema {name} cannot be read: {error}") from error

    def call(data: bytes) -> Any:
        try:
            return _plain(message_class.FromString(data))
        except DecodeError as error:
            raise DataError(f"a message of {name} cannot be decoded: {error}") from error

    return call


def _plain(message: Any) -> dict[str, Any]:
    """By field's name, defaults included; bytes stay bytes."""
    plain: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        is_message = field.message_type is not None
        if field.is_repeated:
            plain[field.name] = [_plain(each) if is_message else each for each in value]
        else:
            plain[field.name] = _plain(value) if is_message else value
    return plain
