"""Maps from a reading's tensor to the few numbers that are predicted: fixed, not learned.

A learned map could make its output easy to predict. Vectors of up to MAX_CHANNELS elements are used as they
are, images become a grid of mean luminance, long waveforms become band levels, and embeddings become
projections. Invariant: the size of an
observation is known from the spec alone.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from sage.runtime.vision.tiled_grid import TiledGrid
from sage.sensors.board import ANSWER, OUTCOME, topic_of
from sage.sensors.contract import SensorSpec

MAX_CHANNELS = 64
IMAGE_GRID = (6, 8)
NUM_BANDS = 16
NUM_MEANS = 32
NUM_PROJECTIONS, PROJECTION_SEED = 16, 20261
SILENCE_DB = -90.0
LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


class ObservationMap(Protocol):
    """size: channels of the observation.  unit: what one of them is measured in."""

    size: int
    unit: str

    def __call__(self, reading: np.ndarray) -> np.ndarray:
        """(size,) float64 from one reading of the spec's shape; never a view of the reading."""
        ...


def observation_map(spec: SensorSpec, focus_tiles: int = 0) -> ObservationMap:
    """The map for a source, chosen by its shape, and for an embedding by what it observes.

    focus_tiles: of an image, read at full resolution; 0: none.
    """
    shape = spec.tensor.shape
    if topic_of(spec.observes, ANSWER) is not None or topic_of(spec.observes, OUTCOME) is not None:
        return Projection(spec.tensor.num_elements)
    if spec.tensor.num_elements <= MAX_CHANNELS:
        return Vector(spec.tensor.num_elements, spec.observes[1])
    if len(shape) in (2, 3) and spec.tensor.dtype == "uint8" and min(shape[:2]) >= max(IMAGE_GRID):
        return TiledGrid(shape, IMAGE_GRID, focus_tiles) if focus_tiles else LuminanceGrid(shape)
    if len(shape) == 1 and spec.tensor.num_elements >= 4 * NUM_BANDS:
        return BandLevels(shape[0])
    return GroupMeans(spec.tensor.num_elements, spec.observes[1])


class Vector:
    """The reading itself, flattened."""

    def __init__(self, size: int, unit: str) -> None:
        self.size, self.unit = size, unit

    def __call__(self, reading: np.ndarray) -> np.ndarray:
        return reading.reshape(-1).astype(np.float64)


class Projection:
    """16 fixed random projections of the direction of an embedding, each of variance 1 for a random one."""

    size = NUM_PROJECTIONS
    unit = "1"

    def __init__(self, num_elements: int) -> None:
        drawn = np.random.default_rng(PROJECTION_SEED).normal(0, 1, (self.size, num_elements))
        self._matrix = drawn / np.linalg.norm(drawn, axis=1, keepdims=True) * np.sqrt(num_elements)

    def __call__(self, reading: np.ndarray) -> np.ndarray:
        flat = reading.reshape(-1).astype(np.float64)
        projected: np.ndarray = self._matrix.dot(flat) / max(float(np.linalg.norm(flat)), 1e-12)
        return projected


class LuminanceGrid:
    """Mean luminance, 0..255, of each cell of a 6 x 8 grid, from at most 16 x 16 pixels a cell.

    A fixed stride limits the time for large frames.
    """

    unit = "luminance"

    def __init__(self, shape: tuple[int, ...]) -> None:
        rows, columns = IMAGE_GRID
        self.size = rows * columns
        cell = (shape[0] // rows, shape[1] // columns)
        self._stride = (max(cell[0] // 16, 1), max(cell[1] // 16, 1))
        self._cell = (cell[0] // self._stride[0], cell[1] // self._stride[1])

    def __call__(self, reading: np.ndarray) -> np.ndarray:
        (rows, columns), (height, width) = IMAGE_GRID, self._cell
        pixels = reading[:: self._stride[0], :: self._stride[1]][: rows * height, : columns * width]
        cells = pixels.reshape(rows, height, columns, width, -1).mean(axis=(1, 3))  # (rows, columns, colours)
        grey = cells.dot(LUMINANCE) if cells.shape[-1] == 3 else cells.mean(axis=-1)
        flat: np.ndarray = grey.reshape(-1)
        return flat


class BandLevels:
    """Level in dB (0 = full scale) of 16 bands, logarithmic in frequency, of a Hann-windowed chunk."""

    unit = "dB"
    size = NUM_BANDS

    def __init__(self, num_samples: int) -> None:
        self._window = np.hanning(num_samples)
        num_bins = num_samples // 2 + 1
        edges = np.unique(np.geomspace(1, num_bins, NUM_BANDS + 1).astype(int))
        while len(edges) < NUM_BANDS + 1:  # low bands of a short chunk: one bin each
            edges = np.unique(np.concatenate([edges, np.setdiff1d(np.arange(1, num_bins + 1), edges)[:1]]))
        self._edges = edges[:-1]
        self._norm = (self._window.sum() / 2) ** 2

    def __call__(self, reading: np.ndarray) -> np.ndarray:
        power = np.abs(np.fft.rfft(reading * self._window)) ** 2 / self._norm
        bands = np.add.reduceat(power, self._edges)[:NUM_BANDS]
        levels: np.ndarray = 10 * np.log10(np.maximum(bands, 10 ** (SILENCE_DB / 10)))
        return levels


class GroupMeans:
    """Means of 32 equal parts of the flattened reading, for other tensors."""

    size = NUM_MEANS

    def __init__(self, num_elements: int, unit: str) -> None:
        self.unit = unit
        self._edges = np.linspace(0, num_elements, NUM_MEANS, endpoint=False).astype(int)
        self._counts = np.diff(np.append(self._edges, num_elements))

    def __call__(self, reading: np.ndarray) -> np.ndarray:
        means: np.ndarray = (
            np.add.reduceat(reading.reshape(-1).astype(np.float64), self._edges) / self._counts
        )
        return means
