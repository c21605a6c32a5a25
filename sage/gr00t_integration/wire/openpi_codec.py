"""Messages of openpi's WebSocket protocol: msgpack, with each array as a map of its bytes, dtype and shape.

The format is that of openpi's `msgpack_numpy`; DreamZero and pi0 servers use it. Its keys are bytes; keys
that are text are read too. Invariant: nothing is unpickled.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sage.errors import InputError
from sage.gr00t_integration.wire.errors import WireError, check_dtype, unsendable
from sage.gr00t_integration.wire.limits import MAX_ARRAY_DIMS, pack_message, unpack_message

_ARRAY, _SCALAR, _DATA, _DTYPE, _SHAPE = (
    b"__ndarray__",
    b"__npgeneric__",
    b"data",
    b"dtype",
    b"shape",
)


def pack(value: Any) -> bytes:
    """One message. InputError for object arrays, bfloat16, numpy scalars and tensors."""
    return pack_message(value, _encode)


def unpack(data: bytes) -> Any:
    """The content of one message. WireError where it is damaged, above the limits, or has another dtype."""
    return unpack_message(data, _decode)


def _encode(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        raise unsendable(value)
    check_dtype(value.dtype.str, "array", InputError)
    return {_ARRAY: True, _DATA: value.tobytes(), _DTYPE: value.dtype.str, _SHAPE: list(value.shape)}


def _decode(value: dict[Any, Any]) -> Any:
    if _ARRAY in value or _ARRAY.decode() in value:
        return _array(_field(value, _DATA), _field(value, _DTYPE), _field(value, _SHAPE))
    if _SCALAR in value or _SCALAR.decode() in value:
        number = _field(value, _DATA)
        if not isinstance(number, (bool, int, float)):
            raise WireError(f"number: {type(number).__name__}: send a number")
        return number
    return value


def _field(value: dict[Any, Any], name: bytes) -> Any:
    return value.get(name, value.get(name.decode()))


def _array(data: Any, descr: Any, shape: Any) -> np.ndarray:
    descr = descr.decode("latin-1") if isinstance(descr, bytes) else descr
    is_shape = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
    if not (isinstance(data, bytes) and isinstance(descr, str) and is_shape and len(shape) <= MAX_ARRAY_DIMS):
        raise WireError("array: data, dtype or shape is missing or of a wrong type: send bytes, text, a list")
    check_dtype(descr, "array", WireError)
    dtype = np.dtype(descr)
    num = 1
    for size in shape:
        num *= size
    if num * dtype.itemsize != len(data):
        raise WireError(
            f"array: {len(data)} bytes for shape {tuple(shape)} of {dtype.name}: send {num * dtype.itemsize}"
        )
    return np.ndarray(shape, dtype, data)
