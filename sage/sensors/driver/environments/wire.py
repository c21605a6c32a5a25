"""Messages between the loop and the process of an environment, over one socket.

Invariant: a message is a header and `length` bytes, written whole under a lock. Loop to process: requests.
Process to loop: READY, BEAT, READING, REPLY, ENDED, FAILED, REFUSED.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass

from sage.sensors.contract import Reading

OPEN, APPLY, ABORT, CLOSE = range(4)
READY, BEAT, READING, REPLY, ENDED, FAILED, REFUSED = range(16, 23)
_HEADER = struct.Struct("<BxHI")
#: The last field is the number of bytes of `health`, which follow, before the values.
_READING = struct.Struct("<qqqdddI")
_REQUEST = struct.Struct("<Iq")
_REPLY = struct.Struct("<I??xx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """kind: one of the constants.  index: of the sensor or effector.  body: see the functions below."""

    kind: int
    index: int
    body: bytes


class Wire:
    """One end. `send` from any thread, `receive` from one."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._lock = threading.Lock()

    def fileno(self) -> int:
        return self._end.fileno()

    def send(self, kind: int, index: int = 0, body: bytes = b"") -> None:
        """OSError where the other end is gone."""
        with self._lock:
            self._end.sendall(_HEADER.pack(kind, index, len(body)) + body)

    def receive(self) -> Message | None:
        """The next message, waiting for it; None at the end."""
        header = self._take(_HEADER.size)
        if header is None:
            return None
        kind, index, length = _HEADER.unpack(header)
        body = self._take(length)
        return None if body is None else Message(kind=kind, index=index, body=body)

    def close(self) -> None:
        """Ends a `receive` that waits at either end."""
        with contextlib.suppress(OSError):  # the other end is gone already
            self._end.shutdown(socket.SHUT_RDWR)
        self._end.close()

    def _take(self, num_bytes: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < num_bytes:
            try:
                part = self._end.recv(num_bytes - len(parts))
            except OSError:
                return None
            if not part:
                return None
            parts += part
        return bytes(parts)


def pack_reading(reading: Reading, values: bytes) -> bytes:
    health = reading.health.encode("utf-8", "replace")
    return (
        _READING.pack(
            reading.captured_ns,
            reading.received_ns,
            reading.sequence,
            reading.noise_std,
            reading.quality,
            reading.confidence,
            len(health),
        )
        + health
        + values
    )


def unpack_reading(body: bytes) -> tuple[Reading, bytes]:
    captured_ns, received_ns, sequence, noise_std, quality, confidence, num_bytes = _READING.unpack_from(body)
    end = _READING.size + num_bytes
    reading = Reading(
        captured_ns=captured_ns,
        received_ns=received_ns,
        sequence=sequence,
        noise_std=noise_std,
        quality=quality,
        confidence=confidence,
        health=body[_READING.size : end].decode(),
    )
    return reading, body[end:]


def pack_request(number: int, stamp_ns: int, values: bytes) -> bytes:
    return _REQUEST.pack(number, stamp_ns) + values


def unpack_request(body: bytes) -> tuple[int, int, bytes]:
    """(number, stamp_ns, values)."""
    number, stamp_ns = _REQUEST.unpack_from(body)
    return number, stamp_ns, body[_REQUEST.size :]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """number: of the request.  values: what was done; empty for other requests than APPLY."""

    number: int
    is_held: bool
    is_limited: bool
    values: bytes

    def pack(self) -> bytes:
        return _REPLY.pack(self.number, self.is_held, self.is_limited) + self.values

    @classmethod
    def unpack(cls, body: bytes) -> Reply:
        number, is_held, is_limited = _REPLY.unpack_from(body)
        return cls(number=number, is_held=is_held, is_limited=is_limited, values=body[_REPLY.size :])
