"""Pictures as JPEG within a number of bytes, for links that lose packets."""

from __future__ import annotations

import io
from importlib import import_module
from typing import Any

import numpy as np

from sage.errors import DataError, InputError
from sage.sensors.contract import SensorUnavailable

#: JPEG qualities that are tried, best first; below the last one the picture is halved, and at last down to
#: a few pixels, which fit MIN_BYTES.
QUALITIES = (85, 70, 55, 40, 28, 18)
MIN_BYTES = 1024
MAX_HALVINGS = 16
#: Pixels of a side that libjpeg writes. A larger picture is sent smaller.
MAX_SIDE = 65_500


class JpegEncoder:
    """Encodes (H, W, 3) uint8 in at most `max_bytes`: first by quality, then at half the size.

    It continues with the setting that fitted last, and tries a better one every 32 pictures.
    """

    def __init__(self, max_bytes: int) -> None:
        if max_bytes < MIN_BYTES:
            raise InputError(f"max_bytes is {max_bytes}: give at least {MIN_BYTES}")
        self._image = _pillow()
        self._max_bytes = max_bytes
        self._level = 0
        self._num_encoded = 0

    def encode(self, picture: np.ndarray) -> bytes:
        """InputError for a picture that does not fit at the least quality and size."""
        self._num_encoded += 1
        if self._num_encoded % 32 == 0 and self._level:
            self._level -= 1
        image = self._image.fromarray(picture)
        for level in range(self._level, len(QUALITIES) + MAX_HALVINGS):
            data = self._encoded(image, level)
            if len(data) <= self._max_bytes:
                self._level = level
                return data
        raise InputError(f"a picture of {picture.shape} does not fit {self._max_bytes} bytes: allow more")

    def _encoded(self, image: Any, level: int) -> bytes:
        halvings = max(0, level - len(QUALITIES) + 1)
        while max(image.size) >> halvings > MAX_SIDE:
            halvings += 1
        if halvings:
            size = (max(1, image.width >> halvings), max(1, image.height >> halvings))
            image = image.resize(size)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=QUALITIES[min(level, len(QUALITIES) - 1)])
        return buffer.getvalue()


def decode_into(data: bytes, out: np.ndarray) -> None:
    """Decode a JPEG into (H, W, 3) uint8, scaled up where it was sent smaller. DataError for other bytes."""
    pillow = _pillow()
    height, width = out.shape[:2]
    try:
        image = pillow.open(io.BytesIO(data), formats=["JPEG"])
        if image.width > width or image.height > height:
            raise DataError(f"picture is {image.width}x{image.height}: expected at most {width}x{height}")
        image = image.convert("RGB")
        if image.size != (width, height):
            image = image.resize((width, height))
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"picture cannot be decoded: {error!s:.80}") from None
    out[...] = np.asarray(image)


def _pillow() -> Any:
    try:
        return import_module("PIL.Image")
    except ImportError:
        raise SensorUnavailable("Pillow is not installed: pip install 'sage-runtime[bridge]'") from None
