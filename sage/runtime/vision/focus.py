"""Attention over the focus tiles at full resolution: patches are tokens, fixed queries read them.

Nothing is learned: a learned map could make its output easy to predict. Queries, keys and values are fixed
random projections. Invariant: only focus tiles enter, each with the weight of its trust.
"""

from __future__ import annotations

import numpy as np
import torch

from sage.hrm_core.model.attention import AttentionName, attend
from sage.runtime.vision.periphery import grey

PATCHES = 4  # in each direction of a tile
NUM_QUERIES, SIZE = 4, 16
NUM_FEATURES = 6
PROJECTION_SEED = 20262


class FocusAttention:
    """From focus tiles to a summary of SIZE numbers. backend: by name, None for the machine's choice."""

    def __init__(
        self, tile: tuple[int, int], grid: tuple[int, int], backend: AttentionName | None = None
    ) -> None:
        self._tile, self._grid, self._backend = tile, grid, backend
        generator = np.random.default_rng(PROJECTION_SEED)

        def drawn(*shape: int) -> torch.Tensor:
            values = generator.normal(0, shape[0] ** -0.5, shape)
            return torch.from_numpy(values.astype(np.float32))

        self._key, self._value = drawn(NUM_FEATURES, SIZE), drawn(NUM_FEATURES, SIZE)
        self._query = drawn(NUM_QUERIES, SIZE) * SIZE**0.5
        self._out = drawn(NUM_QUERIES * SIZE, SIZE)

    @torch.inference_mode()
    def summary(self, frame: np.ndarray, tiles: np.ndarray, trust: np.ndarray) -> np.ndarray:
        """(SIZE,) float64; 0 without tiles. tiles: (K,) numbers.  trust: (K,) 0..1, of each."""
        if not len(tiles):
            return np.zeros(SIZE)
        tokens = np.concatenate([self._tokens(frame, int(tile)) for tile in tiles])  # (K P, F)
        weights = np.repeat(trust, PATCHES * PATCHES)[:, None]
        features = torch.from_numpy(tokens.astype(np.float32))
        weight = torch.from_numpy(weights.astype(np.float32))
        keys, values = features.matmul(self._key), features.matmul(self._value) * weight
        mixed = attend(
            self._query[None, None], keys[None, None], values[None, None], backend=self._backend
        )  # (1, 1, queries, SIZE)
        return mixed.reshape(-1).matmul(self._out).numpy().astype(np.float64)

    def _tokens(self, frame: np.ndarray, number: int) -> np.ndarray:
        """(P, F): mean, deviation and edges of each patch at full resolution, and where it is."""
        (height, width), columns = self._tile, self._grid[1]
        top, left = number // columns * height, number % columns * width
        crop = frame[top : top + height, left : left + width]
        pixels = grey(crop.reshape(height, width, -1))
        down, across = np.abs(np.diff(pixels, axis=0)), np.abs(np.diff(pixels, axis=1))
        parts = [_patches(each) for each in (pixels, pixels**2, down, across)]
        mean, square, down, across = parts
        deviation = np.sqrt(np.maximum(square - mean**2, 0))
        rows, places = np.divmod(np.arange(PATCHES * PATCHES), PATCHES)
        return np.column_stack(
            [
                mean / 128 - 1,
                deviation / 64,
                down / 32,
                across / 32,
                (number // columns + (rows + 0.5) / PATCHES) / self._grid[0] * 2 - 1,
                (number % columns + (places + 0.5) / PATCHES) / columns * 2 - 1,
            ]
        )


def _patches(pixels: np.ndarray) -> np.ndarray:
    """(P,) means of 4 x 4 nearly equal parts, for a tile of at least 5 x 5 pixels."""
    starts = [np.linspace(0, size, PATCHES, endpoint=False).astype(int) for size in pixels.shape]
    sums = np.add.reduceat(np.add.reduceat(pixels, starts[0], axis=0), starts[1], axis=1)
    counts = [np.diff(np.append(start, size)) for start, size in zip(starts, pixels.shape)]
    means: np.ndarray = (sums / np.outer(*counts)).reshape(-1)
    return means
