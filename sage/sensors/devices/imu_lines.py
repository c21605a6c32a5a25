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
