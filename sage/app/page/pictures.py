"""The newest picture of each source whose readings are pictures.

Invariant: the loop's thread copies a reading only where its source was asked for in the last
ASKED_SECS, at most once in COPY_SECS, and at most MAX_SIDE x MAX_SIDE pixels of it. A copy is never changed.
Pictures are encoded on the thread that asks, each once.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from sage.app.page.png import to_png
from sage.runtime.instruments import ReadingOf
from sage.sensors.contract import SensorSpec

COPY_SECS, ASKED_SECS = 0.5, 3.0
#: Of what is sent, in pixels: of a larger picture every second, third, ... row and column.
MAX_SIDE = 320
#: A smaller reading is a table of numbers.
MIN_SIDE = 8
_DTYPES = ("uint8", "float16", "float32", "float64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """png: the file.  tag: differs where the file differs."""

    png: bytes
    tag: str


@dataclass(slots=True)
class _Source:
    """copied: the newest copy with its number, from 1.  encoded: the file of that number, made under `lock`.
    step: between the rows, and columns, that are copied.
    """

    index: int
    step: int
    asked_secs: float = -float("inf")
    copied_secs: float = -float("inf")
    copied: tuple[int, np.ndarray | None] = (0, None)
    encoded: tuple[int, Encoded | None] = (0, None)
    lock: threading.Lock = field(default_factory=threading.Lock)


def is_picture(spec: SensorSpec) -> bool:
    """Whether a reading is (H, W), (H, W, 1) or (H, W, 3) of uint8 or floats, and no small table."""
    shape = spec.tensor.shape
    is_plane = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))
    return is_plane and spec.tensor.dtype in _DTYPES and min(shape[:2]) >= MIN_SIDE


class Pictures:
    """sizes: (width, height) of each source with pictures, by its name. specs: of all sources, in order."""

    def __init__(
        self, specs: Sequence[SensorSpec], *, real_secs: Callable[[], float] = time.monotonic
    ) -> None:
        shapes = {spec.name: spec.tensor.shape for spec in specs if is_picture(spec)}
        self.sizes = {name: (shape[1], shape[0]) for name, shape in shapes.items()}
        self._sources = {
            spec.name: _Source(index, -(-max(shapes[spec.name][:2]) // MAX_SIDE))
            for index, spec in enumerate(specs)
            if spec.name in shapes
        }
        self._real_secs = real_secs
        self._asked_secs = -float("inf")  # the latest of all

    def take(self, reading_of: ReadingOf) -> None:
        """Copy the readings that are wanted now. On the loop's thread."""
        if not self._sources:
            return
        now = self._real_secs()
        if now - self._asked_secs > ASKED_SECS:
            return
        for source in self._sources.values():
            if now - source.asked_secs > ASKED_SECS or now - source.copied_secs < COPY_SECS:
                continue
            reading = reading_of(source.index)
            if reading is not None:
                source.copied_secs = now
                source.copied = (source.copied[0] + 1, reading[:: source.step, :: source.step].copy())

    def ask(self, name: str) -> bool:
        """Want copies of a source for the next ASKED_SECS; whether they were wanted already."""
        source, now = self._sources[name], self._real_secs()
        was_wanted = now - source.asked_secs <= ASKED_SECS
        source.asked_secs = self._asked_secs = now
        return was_wanted

    def num_copies(self, name: str) -> int:
        return self._sources[name].copied[0]

    def newest(self, name: str) -> Encoded | None:
        """The newest copy; None before the first."""
        source = self._sources[name]
        with source.lock:
            number, picture = source.copied
            if picture is not None and number != source.encoded[0]:
                png = to_png(picture)
                tag = hashlib.blake2b(png, digest_size=8).hexdigest()
                source.encoded = (number, Encoded(png=png, tag=f'"{tag}"'))
            return source.encoded[1]
