"""Specs, readings and texts of sources as the JSON messages of a recording, and back.

Invariant: what is decoded has the bits of what was encoded, except a picture stored as JPEG, and infinities
and payloads of NaN, which become NaN. The schemas are those that Foxglove has panels for, where it has one:
foxglove.RawImage, foxglove.CompressedImage, foxglove.Log, foxglove.PoseInFrame.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import re
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from sage.errors import DataError
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.contract import EffectorSpec, Reading, SensorSpec
from sage.sensors.limits import EffectorLimits

#: How the messages of a channel hold their values.
Form = Literal["values", "tensor", "raw_image", "jpeg"]
#: More numbers than this are stored as bytes.
MAX_VALUES = 256
#: Keys of a channel's metadata.
SOURCE_KEY, FORM_KEY, SPEC_KEY = "sage.source", "sage.form", "sage.spec"
#: Forms of channels beside a source's readings.
STATUS_FORM, TEXT_FORM = "status", "text"
#: Of an effector's own limits; a workspace that is a function (`permit`) cannot be recorded.
_LIMITS = ("max_rate_hz", "max_slew", "low", "high")
_ENCODINGS = {1: "mono8", 3: "rgb8", 4: "rgba8"}


def stamp(time_ns: int) -> dict[str, int]:
    """A time as Foxglove's schemas have it."""
    secs, rest_ns = divmod(time_ns, 1_000_000_000)
    return {"sec": secs, "nsec": rest_ns}


def plain_spec(spec: SensorSpec | EffectorSpec) -> str:
    """JSON of the fields that a spec is made again from."""
    plain: dict[str, Any] = {}
    for field in dataclasses.fields(spec):
        value = getattr(spec, field.name)
        if field.init and field.name not in ("limits", "tensor"):
            plain[field.name] = value
    plain["tensor"] = {"shape": spec.tensor.shape, "dtype": spec.tensor.dtype}
    if isinstance(spec, EffectorSpec):
        limits = spec.limits
        plain["limits"] = {name: getattr(limits, name) for name in _LIMITS}
    return json.dumps(plain)


def sensor_spec(text: str, name: str) -> SensorSpec:
    """A replay's spec under its own name. DataError for a text that is none."""
    plain = _parsed(text)
    try:
        plain |= {"name": name, "is_bounded": True, "tensor": _tensor(plain["tensor"])}
        for key in ("observes", "lineage", "channels"):
            plain[key] = tuple(plain[key])
        plain["ranges"] = tuple((low, high) for low, high in plain.get("ranges", ()))
        return SensorSpec(**plain)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"the spec of a source is damaged ({error}): record it again") from error


def effector_spec(text: str) -> EffectorSpec:
    """DataError for a text that is none."""
    plain = _parsed(text)
    try:
        limits = plain["limits"]
        plain["limits"] = EffectorLimits(
            max_rate_hz=limits["max_rate_hz"],
            max_slew=tuple(limits["max_slew"]),
            low=tuple(limits["low"]),
            high=tuple(limits["high"]),
        )
        plain["tensor"] = _tensor(plain["tensor"])
        for key in ("low", "high", "channels", "choices", "rest", "needs"):
            plain[key] = tuple(plain[key])
        return EffectorSpec(**plain)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"the spec of an effector is damaged ({error}): record it again") from error


def form_of(spec: SensorSpec) -> Form:
    """How the readings of a source are stored, bit for bit."""
    shape = spec.tensor.shape
    is_plane = spec.tensor.dtype == "uint8" and len(shape) in (2, 3) and min(shape[:2]) >= 2
    if is_plane and (len(shape) == 2 or shape[2] in _ENCODINGS):
        return "raw_image"
    is_named = bool(spec.channels) or spec.tensor.dtype in ("float32", "float64", "int32", "uint8", "int64")
    return "values" if is_named and spec.tensor.num_elements <= MAX_VALUES else "tensor"


def keys_of(spec: SensorSpec) -> tuple[str, ...]:
    """Names of the values in a message, as a message path takes them: letters, digits and underscores. Each
    is different.
    """
    keys: list[str] = []
    for index, channel in enumerate(spec.channels):
        base = re.sub(r"\W+", "_", channel).strip("_") or f"c{index}"
        key, number = base, index
        while key in keys:
            key, number = f"{base}_{number}", number + 1
        keys.append(key)
    return tuple(keys)


def encode_reading(values: np.ndarray, reading: Reading, *, form: Form, keys: tuple[str, ...],
                   frame: str, stamp_ns: int) -> dict[str, Any]:  # fmt: skip
    """The message of one reading. stamp_ns: when it was captured, as wall time."""
    message: dict[str, Any] = {"timestamp": stamp(stamp_ns)}
    if form == "values":
        plain = [_number(value) for value in values.reshape(-1).tolist()]
        message["values"] = dict(zip(keys, plain)) if keys else plain
    elif form == "tensor":
        message |= {
            "dtype": values.dtype.name,
            "shape": list(values.shape),
            "data": _base64(np.ascontiguousarray(values).tobytes()),
        }
    else:
        message |= _picture(values, frame, form)
    return message | {
        "sequence": reading.sequence,
        "noise_std": _number(reading.noise_std),
        "quality": reading.quality,
        "confidence": reading.confidence,
        "health": reading.health,
    }


def decode_values(message: dict[str, Any], spec: SensorSpec, form: str) -> np.ndarray:
    """spec.tensor's shape and dtype. DataError for a message that does not hold it."""
    tensor = spec.tensor
    try:
        if form == "values":
            given = message["values"]
            numbers = list(given.values()) if isinstance(given, dict) else given
            if tensor.dtype.startswith(("int", "uint")):
                return np.array(numbers, dtype=tensor.dtype).reshape(tensor.shape)
            filled = [math.nan if number is None else number for number in numbers]
            return np.array(filled, dtype=np.float64).astype(tensor.dtype).reshape(tensor.shape)
        data = base64.b64decode(message["data"])
        if form == "jpeg":
            return decode_picture(data).reshape(tensor.shape)
        return np.frombuffer(data, dtype=tensor.dtype).reshape(tensor.shape)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{spec.name}: a message does not hold a reading ({error})") from error


def decode_reading(message: dict[str, Any], *, captured_ns: int, received_ns: int) -> Reading:
    """What the source returned. DataError for a message of another kind."""
    try:
        noise = message["noise_std"]
        return Reading(
            captured_ns=captured_ns,
            received_ns=received_ns,
            sequence=int(message["sequence"]),
            noise_std=math.nan if noise is None else float(noise),
            quality=float(message["quality"]),
            confidence=float(message["confidence"]),
            health=str(message.get("health", "")),  # not in recordings of earlier versions
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"a message holds no reading of SAGE ({error})") from error


def encode_jpeg(values: np.ndarray) -> bytes:
    """(H, W, 3) uint8 RGB, or (H, W) gray, as JPEG. DataError for a size that JPEG does not have, or another
    error of the encoder: no OSError, which would be one of the disk. Needs the package av.
    """
    import av

    gray = values.ndim == 2 or values.shape[2] == 1
    picture = np.repeat(values.reshape(*values.shape[:2], 1), 3, axis=2) if gray else values[..., :3]
    try:
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        codec: Any = av.CodecContext.create("mjpeg", "w")
        codec.width, codec.height, codec.pix_fmt = frame.width, frame.height, "yuvj420p"
        codec.time_base = Fraction(1, 30)
        packets = [*codec.encode(frame.reformat(format="yuvj420p")), *codec.encode(None)]
    except (OSError, ValueError, TypeError, av.FFmpegError) as error:
        raise DataError(f"a picture of {values.shape} cannot be stored as JPEG: {error}") from error
    return b"".join(bytes(packet) for packet in packets)


def decode_picture(data: bytes) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a JPEG, PNG or WebP. DataError for other bytes. Needs the package av."""
    import io

    import av

    try:
        with av.open(io.BytesIO(data), mode="r") as container:
            frame = next(container.decode(video=0))
            picture: np.ndarray = frame.to_ndarray(format="rgb24")
            return picture
    except (OSError, ValueError, StopIteration, IndexError, av.FFmpegError) as error:
        raise DataError(f"a picture cannot be decoded: {error}") from error


def _picture(values: np.ndarray, frame: str, form: Form) -> dict[str, Any]:
    height, width = values.shape[:2]
    if form == "jpeg":
        return {"frame_id": frame, "format": "jpeg", "data": _base64(encode_jpeg(values))}
    depth = 1 if values.ndim == 2 else values.shape[2]
    return {
        "frame_id": frame,
        "width": width,
        "height": height,
        "encoding": _ENCODINGS[depth],
        "step": width * depth,
        "data": _base64(np.ascontiguousarray(values).tobytes()),
    }


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _number(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _tensor(plain: dict[str, Any]) -> TensorSpec:
    return TensorSpec(shape=tuple(plain["shape"]), dtype=plain["dtype"])


def _parsed(text: str) -> dict[str, Any]:
    try:
        plain = json.loads(text)
    except ValueError as error:
        raise DataError(f"the spec of a source is damaged ({error}): record it again") from error
    if not isinstance(plain, dict):
        raise DataError("the spec of a source is damaged: record it again")
    return plain
