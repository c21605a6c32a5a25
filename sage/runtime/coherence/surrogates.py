"""Null distributions: the same estimator on data whose coupling is removed and whose own structure is kept.

Two independent smooth signals correlate by any test that counts samples as independent; a circular shift
within an episode keeps each signal's spectrum and removes what they share. Phase shuffling keeps the
spectrum alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

NUM_SURROGATES = 99


@dataclass(frozen=True, slots=True)
class Null:
    """mean, std: of the estimator under the null, over `num` surrogates with a finite value."""

    mean: float
    std: float
    num: int

    def z(self, value: float) -> float:
        """(value - mean) / std; NaN where the null does not vary."""
        return (value - self.mean) / self.std if self.std > 0 else math.nan


def null(estimate: Callable[[], float], num: int = NUM_SURROGATES) -> Null:
    """Of `estimate`, which draws a surrogate at each call."""
    values = np.array([estimate() for _ in range(num)])
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return Null(math.nan, math.nan, len(values))
    return Null(float(values.mean()), float(values.std(ddof=1)), len(values))


def shifted(values: np.ndarray, generator: np.random.Generator, axis: int = 1) -> np.ndarray:
    """(T, N, ...): every signal but the first is shifted circularly in time by its own random number.

    Shifts are at least an eighth of the window, so that a lagged copy is not taken for the original.
    """
    window, num = values.shape[0], values.shape[axis]
    least = max(1, window // 8)
    result = values.copy()
    for index in range(1, num):
        shift = int(generator.integers(least, max(window - least, least + 1)))
        part = (slice(None),) * axis + (index,)
        result[part] = np.roll(values[part], shift, axis=0)
    return result


def rolled(values: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """(T, ...): all of it shifted in time by one random number, at least an eighth of the window."""
    window = len(values)
    least = max(1, window // 8)
    return np.roll(values, int(generator.integers(least, max(window - least, least + 1))), axis=0)


def phase_shuffled(signal: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """(T,) with the spectrum's magnitudes of `signal` and random phases (Theiler et al. 1992)."""
    spectrum = np.fft.rfft(signal)
    turned = spectrum * np.exp(2j * np.pi * generator.random(len(spectrum)))
    turned[0] = spectrum[0]
    if len(signal) % 2 == 0:
        turned[-1] = np.abs(spectrum[-1]) * generator.choice((-1.0, 1.0))
    result: np.ndarray = np.fft.irfft(turned, n=len(signal))
    return result
