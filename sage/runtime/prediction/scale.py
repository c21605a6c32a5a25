"""Mean and standard deviation of each channel's readings so far.

Invariant: only `update` changes them, so a score before an update uses past readings alone.
"""

from __future__ import annotations

import numpy as np

from sage.errors import InputError

STATE_NAMES = ("count", "mean", "square")
ROUNDING = 1e-12  # of the mean: a deviation below this is rounding, not movement


class RunningScale:
    """Welford's mean and variance of each channel, all in float64 (B. P. Welford, Technometrics 1962)."""

    def __init__(self, num_channels: int, *, floor: float = 1e-12) -> None:
        if num_channels < 1:
            raise InputError(f"num_channels is {num_channels}: give 1 or more")
        if not floor > 0:
            raise InputError(f"floor is {floor}: give a deviation above 0")
        self._floor = floor
        self._count = np.zeros(num_channels)
        self._mean = np.zeros(num_channels)
        self._square = np.zeros(num_channels)  # sum of squared deviations from the mean

    @property
    def mean(self) -> np.ndarray:
        """(C,) mean of the past; 0 before the first reading."""
        return self._mean.copy()

    @property
    def std(self) -> np.ndarray:
        """(C,) deviation of the past, never below the floor or below rounding of the mean."""
        floor = np.maximum(self._floor, ROUNDING * np.abs(self._mean))
        return np.maximum(np.sqrt(self._square / np.maximum(self._count, 1.0)), floor)

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """count, mean, square and the floor: the arguments of a compiled step, updated in place."""
        return self._count, self._mean, self._square, self._floor

    @property
    def count(self) -> np.ndarray:
        """(C,) readings seen."""
        return self._count.copy()

    def update(self, channels: np.ndarray, values: np.ndarray) -> None:
        """Take in one reading each of `channels` (k,), `values` (k,); readings that are not finite are left
        out.
        """
        is_usable = np.isfinite(values)
        if not is_usable.all():
            channels, values = channels[is_usable], values[is_usable]
        count = self._count[channels] + 1.0
        before = values - self._mean[channels]
        mean = self._mean[channels] + before / count
        self._count[channels] = count
        self._square[channels] += before * (values - mean)
        self._mean[channels] = mean

    def state(self) -> dict[str, np.ndarray]:
        return {name: getattr(self, f"_{name}").copy() for name in STATE_NAMES}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        for name in STATE_NAMES:
            target = getattr(self, f"_{name}")
            if np.shape(state[name]) != target.shape:
                raise InputError(
                    f"{name} has shape {np.shape(state[name])}, this scale {target.shape}: load a state of as"
                    " many channels"
                )
            target[:] = state[name]
