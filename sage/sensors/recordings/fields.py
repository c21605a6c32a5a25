"""Numbers and pictures in messages of any kind: JSON objects, Protobuf as dicts, ROS messages.

Invariant: the same message gives the same numbers in the same order.
"""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from sage.errors import DataError
from sage.sensors.recordings.codec import decode_picture

#: Numbers that a reading takes without a choice of fields.
MAX_FIELDS = 64
#: Parts of a message that hold its time, not what was measured.
_TIMES = ("header", "timestamp", "stamp")
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_DEPTHS = {"mono8": 1, "8UC1": 1, "rgb8": 3, "bgr8": 3, "8UC3": 3, "rgba8": 4, "bgra8": 4}
_COMPRESSED = ("CompressedImage",)
_RAW = ("RawImage", "Image")


def numbers(message: Any, prefix: str = "") -> Iterator[tuple[str, float]]:
    """(path, value) of every number, in the message's order; times, texts and bytes are left out."""
    for name, value in _members(message):
        path = f"{prefix}{name}" if name.startswith("[") or not prefix else f"{prefix}.{name}"
        if isinstance(value, (bool, int, float, np.number)):
            yield path, float(value)
        elif isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            yield from ((f"{path}[{index}]", float(each)) for index, each in enumerate(value.reshape(-1)))
        elif not isinstance(value, (str, bytes)) and name not in _TIMES:
            yield from numbers(value, path)


def reader_of(paths: tuple[str, ...]) -> Callable[[Any], list[float]]:
    """Reads the numbers at these paths. DataError for a path that a message lacks, or that is no number."""
    steps = [(path, _STEP.findall(path)) for path in paths]

    def read(message: Any) -> list[float]:
        return [_number(message, path, parts) for path, parts in steps]

    return read


def is_picture(schema_name: str) -> bool:
    """By its schema: Foxglove's or ROS's."""
    return re.split(r"[./]", schema_name)[-1] in (*_COMPRESSED, *_RAW)


def picture(message: Any, schema_name: str) -> np.ndarray:
    """(H, W, 3) uint8 RGB. DataError for bytes or an encoding that cannot be read."""
    data = _bytes(_member(message, "data"))
    if re.split(r"[./]", schema_name)[-1] in _COMPRESSED:
        return decode_picture(data)
    encoding = str(_member(message, "encoding"))
    depth = _DEPTHS.get(encoding)
    if depth is None:
        raise DataError(f"a picture is encoded as {encoding!r}: SAGE reads {', '.join(_DEPTHS)}")
    try:
        height, width, step = (int(_member(message, name)) for name in ("height", "width", "step"))
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"a picture has a height, width or step that is no number: {error}") from error
    if len(data) < height * step or step < width * depth:
        raise DataError(f"a picture of {width} x {height} has {len(data)} bytes in rows of {step}")
    rows = np.frombuffer(data, dtype=np.uint8, count=height * step).reshape(height, step)
    pixels = rows[:, : width * depth].reshape(height, width, depth)
    colours = pixels.repeat(3, axis=2) if depth == 1 else pixels[..., :3]
    return np.ascontiguousarray(colours[..., ::-1] if encoding.startswith("bgr") else colours)


def _members(message: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(message, Mapping):
        yield from ((str(name), value) for name, value in message.items())
    elif dataclasses.is_dataclass(message):
        fields = (field.name for field in dataclasses.fields(message) if not field.name.startswith("_"))
        yield from ((name, getattr(message, name)) for name in fields)
    elif isinstance(message, (list, tuple)):
        yield from ((f"[{index}]", value) for index, value in enumerate(message))


def _number(message: Any, path: str, parts: list[tuple[str, str]]) -> float:
    value = message
    for name, index in parts:
        value = _member(value, name) if name else _element(value, int(index), path)
    if not isinstance(value, (bool, int, float, np.number)):
        kind = "null" if value is None else type(value).__name__
        raise DataError(f"field {path!r} is no number but {kind}: choose other `fields`")
    try:
        return float(value)
    except OverflowError as error:
        raise DataError(f"field {path!r} is beyond float64: choose other `fields`") from error


def _member(message: Any, name: str) -> Any:
    if isinstance(message, Mapping):
        if name in message:
            return message[name]
    elif hasattr(message, name):
        return getattr(message, name)
    raise DataError(
        f"there is no field {name!r}: it has {', '.join(n for n, _ in _members(message)) or 'none'}"
    )


def _element(value: Any, index: int, path: str) -> Any:
    try:
        return value[index]
    except (IndexError, KeyError, TypeError) as error:
        raise DataError(f"field {path!r}: there is no element {index}") from error


def _bytes(data: Any) -> bytes:
    """DataError for anything but bytes, a text in base64, and numbers of a byte each."""
    try:
        if isinstance(data, str):
            return base64.b64decode(data)
        return data if isinstance(data, bytes) else np.asarray(data, dtype=np.uint8).tobytes()
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"a picture has data that are no bytes: {error}") from error
