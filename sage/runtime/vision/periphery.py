"""The cheap look at every tile of a frame: luminance, change, motion, edges, and how predictable it is.

At most 16 x 16 pixels of a tile are read, at fixed strides, so that the time hardly depends on the size of a
frame.
"""

from __future__ import annotations

import numpy as np

MAX_SAMPLES = 16
LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
#: Motion, in levels of 0..255, below which a tile counts as still.
STILL = 0.5
#: Of the running share of frames in which the frame before was a useful prediction.
TRUST_RATE, LEAST_TRUST = 0.2, 0.01


def grey(pixels: np.ndarray) -> np.ndarray:
    """(..., H, W) float64 from (..., H, W), or of 1 or 3 colours as the last dimension."""
    if pixels.shape[-1] == 3:
        weighed: np.ndarray = pixels.dot(LUMINANCE)
        return weighed
    mean: np.ndarray = pixels.mean(axis=-1)
    return mean


class Periphery:
    """T = rows x columns tiles of frames of `shape` (H, W) or (H, W, C), uint8.

    All (T,): mean, 0..255.  change: of the mean since the last frame.  motion: mean absolute change of a
    pixel.  edges: mean absolute difference of neighbours.  trust: running share of frames in which the one
    before predicted the tile better than its mean does, 0.01..1; still tiles keep theirs.
    """

    def __init__(self, shape: tuple[int, ...], grid: tuple[int, int]) -> None:
        self._grid = rows, columns = grid
        self.tile = (shape[0] // rows, shape[1] // columns)
        self._stride = tuple(max(size // MAX_SAMPLES, 1) for size in self.tile)
        self._cell = tuple(size // stride for size, stride in zip(self.tile, self._stride))
        self._has_colours = len(shape) == 3
        num = rows * columns
        self._last: np.ndarray | None = None
        self.mean, self.change, self.motion, self.edges = np.zeros((4, num))
        self.trust = np.ones(num)

    def look(self, frame: np.ndarray) -> None:
        now = self._samples(frame)  # (T, h, w)
        last = now if self._last is None else self._last
        mean = now.mean(axis=(1, 2))
        self.change = np.abs(mean - last.mean(axis=(1, 2)))
        self.motion = np.abs(now - last).mean(axis=(1, 2))
        self.edges = (
            np.abs(np.diff(now, axis=1)).sum(axis=(1, 2)) + np.abs(np.diff(now, axis=2)).sum(axis=(1, 2))
        ) / (now[0].size)
        self.mean = mean
        is_moving = self.motion > STILL
        is_useful = ((now - last) ** 2).mean(axis=(1, 2)) < now.var(axis=(1, 2))
        trust = self.trust + TRUST_RATE * (is_useful - self.trust)
        self.trust = np.where(is_moving, np.maximum(trust, LEAST_TRUST), self.trust)
        self._last = now

    def _samples(self, frame: np.ndarray) -> np.ndarray:
        (rows, columns), (height, width) = self._grid, self._cell
        # A stride of the tile itself, so that each tile's samples lie within it.
        parts = frame[: rows * self.tile[0], : columns * self.tile[1]]
        tiles = parts.reshape(rows, self.tile[0], columns, self.tile[1], -1)
        samples = tiles[:, :: self._stride[0], :, :: self._stride[1]][:, :height, :, :width]
        flat: np.ndarray = grey(samples.transpose(0, 2, 1, 3, 4)).reshape(-1, height, width)
        return flat
