"""Statistics of a data set's columns, as LeRobot and GR00T write them into meta/."""

from __future__ import annotations

from typing import Any

import numpy as np

#: Quantiles by name: GR00T normalises by q01 and q99.
QUANTILES = {"q01": 0.01, "q99": 0.99}


def column_stats(values: np.ndarray) -> dict[str, list[float]]:
    """mean, std, min, max, q01, q99, count of each number of (N, D)."""
    rows = values.astype(np.float64).reshape(len(values), -1)
    found = {
        "mean": rows.mean(axis=0),
        "std": rows.std(axis=0),
        "min": rows.min(axis=0),
        "max": rows.max(axis=0),
        **{name: np.quantile(rows, share, axis=0) for name, share in QUANTILES.items()},
    }
    return {**{name: array.tolist() for name, array in found.items()}, "count": [len(rows)]}


class ImageStats:
    """Of a camera's frames, by colour, of values from 0 to 1: (3, 1, 1) each. Every fourth pixel counts."""

    def __init__(self) -> None:
        self._count = 0
        self._num_frames = 0
        self._sum = np.zeros(3)
        self._squares = np.zeros(3)
        self._low = np.ones(3)
        self._high = np.zeros(3)

    def add(self, frame: np.ndarray) -> None:
        pixels = frame[::4, ::4].reshape(-1, 3) / 255.0
        self._num_frames += 1
        self._count += len(pixels)
        self._sum += pixels.sum(axis=0)
        self._squares += (pixels**2).sum(axis=0)
        self._low = np.minimum(self._low, pixels.min(axis=0))
        self._high = np.maximum(self._high, pixels.max(axis=0))

    def plain(self) -> dict[str, Any]:
        mean = self._sum / max(self._count, 1)
        std = np.sqrt(np.maximum(self._squares / max(self._count, 1) - mean**2, 0))
        found = {"mean": mean, "std": std, "min": self._low, "max": self._high}
        return {
            **{name: array.reshape(3, 1, 1).tolist() for name, array in found.items()},
            "count": [self._num_frames],
        }
