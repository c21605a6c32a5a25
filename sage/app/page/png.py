"""A picture as a PNG file (ISO/IEC 15948), by zlib alone: 8 bits a channel, gray or RGB."""

from __future__ import annotations

import struct
import zlib

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRAY, _RGB = 0, 2
#: The filter of every line: the difference from the line above.
_UP = 2
#: The fastest that still compresses: a picture is sent once or twice.
_LEVEL = 1


def to_png(picture: np.ndarray) -> bytes:
    """picture: (H, W), (H, W, 1) or (H, W, 3), as `to_levels` takes it."""
    levels = to_levels(picture)
    height, width = levels.shape[:2]
    colour = _RGB if levels.shape[2:] == (3,) else _GRAY
    lines = np.ascontiguousarray(levels).reshape(height, -1)
    filtered = np.full((height, lines.shape[1] + 1), _UP, dtype=np.uint8)
    filtered[0, 1:] = lines[0]
    np.subtract(lines[1:], lines[:-1], out=filtered[1:, 1:])  # modulo 256, as the format has it
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)),
            _chunk(b"IDAT", zlib.compress(filtered.tobytes(), _LEVEL)),
            _chunk(b"IEND", b""),
        )
    )


def to_levels(picture: np.ndarray) -> np.ndarray:
    """uint8 of the same shape. Numbers from 0 to 1 have 0 black and 1 white; of others the lowest is black
    and the highest white. What is not finite is black.
    """
    if picture.dtype == np.uint8:
        return picture
    values = picture.astype(np.float64)
    is_finite = np.isfinite(values)
    found = values[is_finite]
    low, high = (float(found.min()), float(found.max())) if found.size else (0.0, 1.0)
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    scaled = (np.where(is_finite, values, low) - low) * (255 / ((high - low) or 1.0))
    levels: np.ndarray = np.rint(scaled).astype(np.uint8)
    return levels


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
