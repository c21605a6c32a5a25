"""Frames of an inertial sensor out of a stream of bytes: lines of numbers, NMEA sentences, binary frames.

Invariant: a frame that is damaged is counted and never returned; bytes that are no frame yet wait for the
rest of it, at most MAX_FRAME_BYTES.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from functools import reduce
from typing import Literal

LineFormat = Literal["csv", "nmea", "binary"]
#: What begins a binary frame: two bytes, then the payload's length, the payload and its CRC-16.
SYNC = b"\xaa\x55"
MAX_FRAME_BYTES = 1024
#: One byte states the payload's length.
MAX_BINARY_VALUES = 255 // 4
#: Where counts of whole bytes begin again at 0.
WRAP_SIZES = (1 << 8, 1 << 16, 1 << 24, 1 << 32)
#: The last of the integers that float32 holds all of.
MAX_FLOAT32_COUNT = 1 << 24


class FrameParser:
    """num_values: of each frame.  num_bad: frames that were damaged, so far."""

    def __init__(self, line_format: LineFormat, num_values: int) -> None:
        self.num_bad = 0
        self._num_values = num_values
        self._buffer = bytearray()
        self._next: Callable[[], Iterator[tuple[float, ...]]] = (
            self._binary_frames if line_format == "binary" else self._lines
        )
        self._is_nmea = line_format == "nmea"
        self._is_synchronous = False

    def feed(self, data: bytes) -> list[tuple[float, ...]]:
        """The values of the frames that are complete now, in order."""
        self._buffer += data
        return list(self._next())

    def _lines(self) -> Iterator[tuple[float, ...]]:
        while (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end]).strip()
            del self._buffer[: end + 1]
            was_synchronous, self._is_synchronous = self._is_synchronous, True
            if not line:
                continue
            values = self._values_of(line)
            if values is not None:
                yield values
            elif was_synchronous:  # the first line is cut off where the stream was joined
                self.num_bad += 1
        if len(self._buffer) > MAX_FRAME_BYTES:
            self._buffer.clear()
            self.num_bad += 1

    def _values_of(self, line: bytes) -> tuple[float, ...] | None:
        """None for a line that is damaged or has another number of values."""
        if self._is_nmea:
            body, star, check = line.removeprefix(b"$").partition(b"*")
            if not line.startswith(b"$") or not star or not _has_xor(body, check):
                return None
            line = body.partition(b",")[2]
        try:
            values = tuple(float(part) for part in line.split(b","))
        except ValueError:
            return None
        is_whole = len(values) == self._num_values and all(math.isfinite(value) for value in values)
        return values if is_whole else None

    def _binary_frames(self) -> Iterator[tuple[float, ...]]:
        size = 4 * self._num_values
        while True:
            start = self._buffer.find(SYNC)
            if start < 0:
                # the last byte may be the first of the next frame
                del self._buffer[:-1]
                return
            del self._buffer[:start]
            if len(self._buffer) < size + 5:
                return
            payload = bytes(self._buffer[3 : 3 + size])
            check = int.from_bytes(self._buffer[3 + size : 5 + size], "little")
            values = struct.unpack(f"<{self._num_values}f", payload)
            if self._buffer[2] == size and check == crc16(payload) and all(map(math.isfinite, values)):
                del self._buffer[: size + 5]
                yield values
            else:
                del self._buffer[:2]
                self.num_bad += 1


class FrameCount:
    """Numbers frames by the device's own count, which wraps round at 8, 16, 24 or 32 bits, or begins again
    with the device.

    is_float32: of the count; from 2**24 on it no longer counts by one, and is not used.
    """

    def __init__(self, *, is_float32: bool) -> None:
        self._most = MAX_FLOAT32_COUNT if is_float32 else math.inf
        self._last: int | None = None
        self._number = -1

    def next(self, count: int | None) -> int:
        """The number of a frame, from 0: as far from the one before as its count. None: one more."""
        last, self._last = self._last, count
        if count is None or abs(count) >= self._most:
            self._number += 1
        elif last is None:
            self._number = max(count, self._number + 1)
        elif count >= last:
            self._number += count - last
        else:
            self._number += _step_around(last, count)
        return self._number


def _step_around(last: int, count: int) -> int:
    """From a count to a lower one: around the end of its bits where few frames are missing, else one."""
    for size in WRAP_SIZES:
        if last < size:
            step = count + size - last
            return step if 0 < step <= size // 8 else 1
    return 1


def binary_frame(values: tuple[float, ...]) -> bytes:
    """One frame: SYNC, length of the payload, float32 values (little endian), CRC-16 of the payload."""
    payload = struct.pack(f"<{len(values)}f", *values)
    return SYNC + bytes([len(payload)]) + payload + crc16(payload).to_bytes(2, "little")


def nmea_line(talker: str, values: tuple[float, ...]) -> bytes:
    """One sentence, with the XOR of what is between $ and *."""
    body = ",".join([talker, *(f"{value:.6f}" for value in values)]).encode()
    return b"$" + body + f"*{_xor(body):02X}\r\n".encode()


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE: polynomial 0x1021, initial value 0xFFFF."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def _xor(body: bytes) -> int:
    return reduce(int.__xor__, body, 0)


def _has_xor(body: bytes, check: bytes) -> bool:
    try:
        return int(check[:2], 16) == _xor(body)
    except ValueError:
        return False
