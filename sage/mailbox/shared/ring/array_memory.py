"""Where a numpy array object contains its data address, shape, strides and dtype, for compiled code.

Reading them there takes nanoseconds, through numpy's attributes about half a microsecond: as long as the copy
of 64 records. Invariant: `IS_KNOWN` is true only where these offsets were found right on arrays of this
process; without it nothing but `address_of` is used, which then asks numpy.
"""

from __future__ import annotations

import ctypes

import numpy as np

#: Byte offsets in the object (numpy's struct PyArrayObject_fields on a 64-bit system). NDIM is 32 bits.
_HEAD = ctypes.sizeof(ctypes.c_void_p) * 2
DATA, NDIM, SHAPE, STRIDES, DTYPE, FLAGS = (_HEAD + offset for offset in (0, 8, 16, 24, 40, 48))
#: The bit of the word at FLAGS (32 bits) of an array that may be written.
WRITEABLE = 0x400
#: Byte offsets in a bytes object: its length and its data.
LENGTH_OF_BYTES, BYTES_DATA = _HEAD, bytes.__basicsize__ - 1

_word = ctypes.c_int64.from_address


def _quick_address_of(array: np.ndarray) -> int:
    return _word(id(array) + DATA).value


def _true_address_of(array: np.ndarray) -> int:
    return int(array.ctypes.data)


def _is_known(array: np.ndarray) -> bool:
    at = id(array)
    flags = _word(at + FLAGS).value & 0xFFFFFFFF
    return (
        _quick_address_of(array) == _true_address_of(array)
        and _word(at + NDIM).value & 0xFFFFFFFF == array.ndim
        and _word(at + DTYPE).value == id(array.dtype)
        and bool(flags & WRITEABLE) == array.flags.writeable
        and _words(_word(at + SHAPE).value, array.ndim) == array.shape
        and _words(_word(at + STRIDES).value, array.ndim) == array.strides
    )


def _words(address: int, num: int) -> tuple[int, ...]:
    return tuple(_word(address + 8 * index).value for index in range(num))


def _is_known_bytes(data: bytes) -> bool:
    at = id(data)
    return _word(at + LENGTH_OF_BYTES).value == len(data) and ctypes.string_at(at + BYTES_DATA, 3) == data[:3]


def _probe() -> bool:
    plain, records = np.zeros((3, 5), dtype=np.int16), np.zeros(7, dtype=[("a", "<i4"), ("b", "u1", (12,))])
    fixed = np.zeros(4)
    fixed.setflags(write=False)
    arrays = (plain, plain[::2, 1:], records, records[1:5:3], fixed)
    return all(map(_is_known, arrays)) and _is_known_bytes(b"a probe")


IS_KNOWN = ctypes.sizeof(ctypes.c_void_p) == 8 and _probe()
address_of = _quick_address_of if IS_KNOWN else _true_address_of
