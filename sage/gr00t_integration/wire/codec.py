"""Messages of NVIDIA's policy servers: msgpack, with each array as the bytes of a NPY 1.0 file in a map.

Invariant: `unpack(pack(value))` has the same values, shapes and dtypes. Nothing is unpickled. The format is
that of Isaac-GR00T's `MsgSerializer` (N1.5 to N1.7).
"""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np

from sage.errors import InputError
from sage.gr00t_integration.wire.errors import WireError, check_dtype, refuse_pickle, unsendable
from sage.gr00t_integration.wire.limits import MAX_ARRAY_DIMS, MAX_BYTES, pack_message, unpack_message
from sage.gr00t_integration.wire.modality import ModalityConfig

ARRAY_KEY, ARRAY_BYTES = "__ndarray_class__", "as_npy"
MODALITY_KEY, MODALITY_BODY = "__ModalityConfig_class__", "as_json"
_MAGIC = b"\x93NUMPY"
_DESCR = re.compile(r"'descr'\s*:\s*'([^']{1,16})'")
_ORDER = re.compile(r"'fortran_order'\s*:\s*(True|False)")
_SHAPE = re.compile(r"'shape'\s*:\s*\(((?:\d{1,18}\s*,\s*)*(?:\d{1,18}\s*)?)\)")


def pack(value: Any) -> bytes:
    """One message. InputError for object arrays, bfloat16, numpy scalars and tensors."""
    return pack_message(value, _encode)


def unpack(data: bytes) -> Any:
    """The content of one message; arrays are read-only and share the message's memory.

    WireError where it is not msgpack, above the limits, or has an array that is damaged or pickled.
    """
    return unpack_message(data, _decode)


def array_to_npy(array: np.ndarray) -> bytes:
    """The bytes that `numpy.save` writes, without pickle. InputError for other dtypes than numbers."""
    check_dtype(array.dtype.str, "array", InputError)
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()


def array_from_npy(data: bytes) -> np.ndarray:
    """The array in the bytes of a NPY file, as a read-only view of them.

    The header is read without evaluating it, and its size is compared with the bytes before memory is used.
    """
    refuse_pickle(data, "array")
    descr, is_fortran, shape, start = _header(data)
    check_dtype(descr, "array", WireError)
    dtype = np.dtype(descr)
    num = 1
    for size in shape:
        num *= size
    if num * dtype.itemsize != len(data) - start:
        raise WireError(
            f"array: {len(data) - start} bytes for shape {shape} of {dtype.name}: send {num * dtype.itemsize}"
        )
    return np.ndarray(shape, dtype, data, offset=start, order="F" if is_fortran else "C")


def _header(data: bytes) -> tuple[str, bool, tuple[int, ...], int]:
    """dtype, whether in Fortran order, shape, and where the values begin."""
    if not data.startswith(_MAGIC) or len(data) < 10:
        raise WireError("array: not a NPY file: send the bytes of numpy.save")
    if len(data) > MAX_BYTES:
        raise WireError(f"array: {len(data)} bytes: send {MAX_BYTES} at most")
    width = 2 if data[6] == 1 else 4
    start = 8 + width + int.from_bytes(data[8 : 8 + width], "little")
    if data[6] not in (1, 2, 3) or start > min(len(data), 8192):
        raise WireError(f"array: NPY version {data[6]} or a damaged header: send NPY 1.0")
    text = data[8 + width : start].decode("latin-1")
    descr, order, shape = _DESCR.search(text), _ORDER.search(text), _SHAPE.search(text)
    if descr is None or order is None or shape is None:
        raise WireError(f"array: a NPY header without a plain descr, fortran_order or shape: {text[:80]!r}")
    sizes = tuple(int(size) for size in shape[1].split(",") if size.strip())
    if len(sizes) > MAX_ARRAY_DIMS:
        raise WireError(f"array: {len(sizes)} dimensions: send {MAX_ARRAY_DIMS} at most")
    return descr[1], order[1] == "True", sizes, start


def _encode(value: Any) -> Any:
    if isinstance(value, ModalityConfig):
        return {MODALITY_KEY: True, MODALITY_BODY: value.body()}
    if isinstance(value, np.ndarray):
        return {ARRAY_KEY: True, ARRAY_BYTES: array_to_npy(value)}
    raise unsendable(value)


def _decode(value: dict[Any, Any]) -> Any:
    if ARRAY_KEY in value:
        data = value.get(ARRAY_BYTES)
        if not isinstance(data, bytes):
            raise WireError(f"array: {ARRAY_BYTES} is {type(data).__name__}: send bytes")
        return array_from_npy(data)
    if MODALITY_KEY in value:
        return ModalityConfig.from_body(value.get(MODALITY_BODY))
    return value
