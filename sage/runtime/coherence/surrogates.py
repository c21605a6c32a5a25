"""Null distributions: the same estimator on data whose coupling is removed and whose own structure is kept.

Two independent smooth signals correlate by any test that counts samples as independent; a circular shift
within an episode keeps each signal's spectrum and removes what they share. Phase shuffling keeps the
spectrum alone.
"""

from __future__ import annotations

import math
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


def null_of(values: np.ndarray) -> Null:
    """Of the estimator's values on surrogates (S,); values that are not finite are left out."""
    finite = values[np.isfinite(values)]
    if len(finite) < 2:
        return Null(math.nan, math.nan, len(finite))
    return Null(float(finite.mean()), float(finite.std(ddof=1)), len(finite))


def draw_lags(generator: np.random.Generator, num: int, num_signals: int, window: int) -> np.ndarray:
    """(num, num_signals) circular shifts in samples: 0 for the first signal, for each other one a random
    number of at least an eighth of the window, so that a lagged copy is not taken for the original.
    """
    least = max(1, window // 8)
    lags = generator.integers(least, max(window - least, least + 1), (num, num_signals))
    lags[:, 0] = 0
    return lags


def shifted(values: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """(T, N, ...) with signal i moved by lags[i] samples, circularly."""
    return np.stack([np.roll(values[:, index], lag, axis=0) for index, lag in enumerate(lags)], axis=1)


class LagTable:
    """Mean products of every pair of signals at every circular shift, so that a surrogate is a lookup.

    signals: (T, N) or (T, N, D), real or complex; products of vectors are inner products.
    """

    def __init__(self, signals: np.ndarray) -> None:
        vectors = signals.reshape(*signals.shape[:2], -1)
        spectrum = np.fft.fft(vectors, axis=0)
        products = np.matmul(spectrum.conj(), spectrum.swapaxes(1, 2))
        # roll(b, lag) has the spectrum B exp(-2 pi i f lag / T): a product at a lag is a Fourier sum.
        self._table = np.fft.fft(products, axis=0) / len(signals) ** 2  # (T, N, N)

    def at(self, lags: np.ndarray) -> np.ndarray:
        """(S, N, N) mean over time of conj(signal i) x signal j, each moved by its lag. lags: (S, N)."""
        num = lags.shape[1]
        relative = (lags[:, None, :] - lags[:, :, None]) % len(self._table)
        rows, columns = np.meshgrid(np.arange(num), np.arange(num), indexing="ij")
        found: np.ndarray = self._table[relative, rows, columns]
        return found


def phase_shuffled(signal: np.ndarray, generator: np.random.Generator, num: int = 1) -> np.ndarray:
    """(num, T) with the spectrum's magnitudes of `signal` (T,) and random phases (Theiler et al. 1992)."""
    spectrum = np.fft.rfft(signal)
    turned = spectrum * np.exp(2j * np.pi * generator.random((num, len(spectrum))))
    turned[:, 0] = spectrum[0]
    if len(signal) % 2 == 0:
        turned[:, -1] = np.abs(spectrum[-1]) * generator.choice((-1.0, 1.0), num)
    result: np.ndarray = np.fft.irfft(turned, n=len(signal))
    return result
