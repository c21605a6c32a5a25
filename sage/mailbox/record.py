"""The layout of a peripheral record, and functions that fill one.

Invariant: `length` is the number of payload bytes in use; push sets the rest to zero. All fields are
little-endian; the layout is the same in every process and on every device.
"""

from __future__ import annotations

import hashlib
import math
import struct
from functools import cache, lru_cache
from typing import Any

import msgpack
import numpy as np

from sage.errors import InputError

HEADER_BYTES = 64
RECORD_BYTES = 256
RECORD_SIZES = (128, 256)

KIND_SUMMARY = 1
KIND_FIRST_MESSAGE = 16

NOT_FINITE = 1  # some sampled values are NaN or infinite; the statistics are of the others
EMPTY = 2  # no finite value: the statistics are NaN, the projection zero
SUBSAMPLED = 4  # a large tensor: statistics and projection are of MAX_SAMPLE of its elements
SATURATED = 8  # a component of the projection exceeded float16's range and was clipped
DEMOTED = 16  # the focus mailbox dropped the tensor; only this summary exists

PROJECTION_SIZE = 32
MAX_SAMPLE = 256

_HEADER_FIELDS = [
    ("sequence", "<u8", 0),  # counted by the producer
    ("producer", "<u4", 8),
    ("kind", "<u4", 12),
    ("stamp_ns", "<i8", 16),
    ("length", "<u4", 24),  # payload bytes in use
    ("generation", "<u4", 28),  # of the ring's slot, stamped by push
    ("focus_slot", "<u4", 32),  # of the tensor, 0 for none: slot and
    ("focus_generation", "<u4", 36),  # generation form one 64-bit word
    ("trust", "<f4", 40),
    ("quality", "<f4", 44),
    (
        "reserved",
        ("u1", (16,)),
        48,
    ),  # zero; a named field, because numpy does not copy unnamed bytes
]
_SUMMARY_FIELDS = [
    ("mean", "<f4", 64),
    ("std", "<f4", 68),
    ("min", "<f4", 72),
    ("max", "<f4", 76),
    ("confidence", "<f4", 80),
    ("noise_std", "<f4", 84),
    ("flags", "<u4", 88),
    ("projection", ("<f2", (PROJECTION_SIZE,)), 92),
]
SUMMARY_LENGTH = 92 + 2 * PROJECTION_SIZE - HEADER_BYTES

_HEADER_STRUCT = struct.Struct("<QIIqIIIIff16x")
_SUMMARY_STRUCT = struct.Struct("<QIIqIIIIff16x6fI64s")
_FOCUS_WORD, _FOCUS_OFFSET = struct.Struct("<Q"), 32


def _layout(fields: list[tuple[str, Any, int]], record_bytes: int) -> np.dtype:
    names, formats, offsets = zip(*fields)
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": record_bytes})


@cache
def record_dtype(record_bytes: int = RECORD_BYTES) -> np.dtype:
    """The structured dtype of a record: header fields and `payload` (bytes). Raises InputError for other
    sizes.
    """
    if record_bytes not in RECORD_SIZES:
        raise InputError(f"record_bytes is {record_bytes}: give one of {RECORD_SIZES}")
    payload = ("payload", ("u1", (record_bytes - HEADER_BYTES,)), HEADER_BYTES)
    return _layout([*_HEADER_FIELDS, payload], record_bytes)


RECORD = record_dtype(RECORD_BYTES)
#: The same 256 bytes read as a summary: `batch.records.view(SUMMARY)`.
SUMMARY = _layout(_HEADER_FIELDS + _SUMMARY_FIELDS, RECORD_BYTES)


def summarize(
    out_record: np.ndarray,
    array: np.ndarray,
    *,
    producer: int,
    sequence: int,
    stamp_ns: int,
    trust: float = 1.0,
    quality: float = 1.0,
    confidence: float = 1.0,
    noise_std: float = math.nan,
    slot: int = 0,
    generation: int = 0,
    flags: int = 0,
) -> int:
    """Fill `out_record` (one 256-byte record: shape () or (1,)) with the summary of `array`'s values; returns
    its flags.

    Above MAX_SAMPLE elements it samples that many, the same ones for each size. The projection is
    linear with a fixed sign matrix, scaled so that its norm is about the root mean square of the values:
    distances between projections are distances between readings, in the reading's unit.
    """
    sample, size = _sample(array), array.size
    if size > MAX_SAMPLE:
        flags |= SUBSAMPLED
    mean, std, low, high, projection, seen = _describe(sample)
    flags |= seen
    _SUMMARY_STRUCT.pack_into(
        out_record.data,
        0,
        sequence,
        producer,
        KIND_SUMMARY,
        stamp_ns,
        SUMMARY_LENGTH,
        0,
        slot,
        generation,
        trust,
        quality,
        mean,
        std,
        low,
        high,
        confidence,
        noise_std,
        flags,
        projection,
    )
    return flags


def point_to(out_record: np.ndarray, word: int) -> None:
    """Write the tensor's place into `out_record` (shape () or (1,)): slot and generation in one 64-bit
    `word`.
    """
    _FOCUS_WORD.pack_into(out_record.data, _FOCUS_OFFSET, word)


def pack_message(
    out_record: np.ndarray,
    message: Any,
    *,
    kind: int,
    producer: int,
    sequence: int,
    stamp_ns: int,
    trust: float = 1.0,
    quality: float = 1.0,
) -> None:
    """Fill `out_record` (shape () or (1,)) with a msgpack `message`. Raises InputError if it does not fit or
    kind is below 16.
    """
    if kind < KIND_FIRST_MESSAGE:
        raise InputError(f"kind is {kind}: messages have kinds from {KIND_FIRST_MESSAGE}")
    data = msgpack.packb(message, use_bin_type=True)
    room = out_record.nbytes - HEADER_BYTES
    if len(data) > room:
        raise InputError(
            f"a message of {len(data)} bytes in a record with room for {room}: send less, or a tensor"
        )
    header = (sequence, producer, kind, stamp_ns, len(data), 0, 0, 0, trust, quality)
    _HEADER_STRUCT.pack_into(out_record.data, 0, *header)
    out_record.reshape(-1).view(np.uint8).data[HEADER_BYTES:] = data.ljust(room, b"\0")


def unpack_message(record: np.ndarray | np.void) -> Any:
    """The message in a record of kind 16 or above; reads exactly `length` bytes."""
    kind, length = int(record["kind"]), int(record["length"])
    if kind < KIND_FIRST_MESSAGE:
        raise InputError(f"kind is {kind}: messages have kinds from {KIND_FIRST_MESSAGE}")
    return msgpack.unpackb(record.tobytes()[HEADER_BYTES : HEADER_BYTES + length], raw=False)


def _sample(array: np.ndarray) -> np.ndarray:
    """(m,) float64, m <= MAX_SAMPLE."""
    if array.size <= MAX_SAMPLE:
        return array.astype(np.float64).ravel()
    if array.flags.c_contiguous:
        return array.take(_sample_index(array.size)).astype(np.float64)
    # take would first copy the whole strided array
    return array.flat[_sample_index(array.size)].astype(np.float64)


@lru_cache(maxsize=64)
def _sample_index(size: int) -> np.ndarray:
    """One index in each of MAX_SAMPLE equal strides, moved within it by the golden ratio.

    A plain stride that divides a frame's row would sample one column and one colour only.
    """
    k = np.arange(MAX_SAMPLE)
    index = ((k + (k * 0.6180339887498949) % 1.0) * (size / MAX_SAMPLE)).astype(np.int64)
    return np.minimum(index, size - 1)


@lru_cache(maxsize=MAX_SAMPLE + 1)
def _projection(length: int) -> tuple[np.ndarray, np.ndarray]:
    """((length, 32) signs / sqrt(32 length), (length,) of 1 / length), from a hash: the same on every machine
    and version.
    """
    bits = np.frombuffer(
        hashlib.shake_256(b"sage summary projection 1").digest(MAX_SAMPLE * PROJECTION_SIZE // 8), np.uint8
    )
    signs = np.unpackbits(bits).reshape(MAX_SAMPLE, PROJECTION_SIZE)[:length] * 2.0 - 1.0
    return signs / math.sqrt(PROJECTION_SIZE * max(length, 1)), np.full(length, 1.0 / max(length, 1))


def projection_of(length: int) -> np.ndarray:
    """(length, PROJECTION_SIZE) the matrix whose product with a sample of `length` values is its projection.

    length: 1 to MAX_SAMPLE.
    """
    return _projection(length)[0]


_NOTHING = (math.nan, math.nan, math.nan, math.nan, bytes(2 * PROJECTION_SIZE), EMPTY)
_LARGEST = 1e35  # larger values count as not finite: their sums would exceed float32
_FLOAT16_MAX = 65504.0


def _describe(sample: np.ndarray) -> tuple[float, float, float, float, bytes, int]:
    """(mean, std, min, max, projection bytes, flags) of a (m,) float64 sample."""
    if not sample.size:
        return _NOTHING
    matrix, weights = _projection(sample.size)
    mean = float(sample.dot(weights))
    if not abs(mean) < _LARGEST:  # also when it is NaN
        return _describe_finite_part(sample)
    centred = sample - mean
    variance = float(centred.dot(centred)) / sample.size
    square_sum = (variance + mean * mean) * sample.size
    if not square_sum < _LARGEST**2:
        return _describe_finite_part(sample)
    projected = sample.dot(matrix)  # (32,)
    flags = 0
    # no component is above sqrt(square_sum / 32) (Cauchy-Schwarz): check only if one can exceed the range
    if square_sum > PROJECTION_SIZE * _FLOAT16_MAX**2 and np.abs(projected).max() > _FLOAT16_MAX:
        projected, flags = np.clip(projected, -_FLOAT16_MAX, _FLOAT16_MAX), SATURATED
    return mean, math.sqrt(variance), *_range(sample), projected.astype(np.float16).tobytes(), flags


def _describe_finite_part(sample: np.ndarray) -> tuple[float, float, float, float, bytes, int]:
    """Statistics of the finite values; the others count as 0 in the projection."""
    is_finite = np.abs(sample) < _LARGEST / MAX_SAMPLE  # False for NaN
    if not is_finite.any():
        return (*_NOTHING[:5], EMPTY | NOT_FINITE)
    mean, std, low, high, _, _ = _describe(sample[is_finite])
    *_, projection, flags = _describe(np.where(is_finite, sample, 0.0))
    return mean, std, low, high, projection, flags | NOT_FINITE


def _range(sample: np.ndarray) -> tuple[float, float]:
    if sample.size <= 48:  # up to about 50 values two passes over a list are faster than two numpy reductions
        values = sample.tolist()
        return min(values), max(values)
    return float(np.minimum.reduce(sample)), float(np.maximum.reduce(sample))
