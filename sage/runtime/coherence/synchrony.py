"""Whether signals oscillate together: phases of one frequency band, and two unbiased measures of their
locking.

sync.r2u: the square of Kuramoto's order parameter without its bias in the number of signals. sync.ppc:
pairwise phase consistency (Vinck et al. 2010), without bias in the number of samples.
"""

from __future__ import annotations

import math

import numpy as np


def phases(signals: np.ndarray, rate_hz: float, band_hz: tuple[float, float]) -> tuple[np.ndarray, float]:
    """Phases (T, N) in radians of the analytic signals within a band, and the band's share of the power.

    signals: (T, N), real, sampled at `rate_hz`.  band_hz: (low, high).  The share is NaN for signals without
    variation.
    """
    values = signals - signals.mean(axis=0)
    spectrum = np.fft.fft(values, axis=0)
    frequencies = np.fft.fftfreq(len(values), d=1.0 / rate_hz)
    is_positive = frequencies > 0
    in_band = (frequencies >= band_hz[0]) & (frequencies <= band_hz[1])
    power = np.abs(spectrum) ** 2
    total = float(power[is_positive].sum())
    share = float(power[in_band].sum()) / total if total > 0 else math.nan
    analytic = np.fft.ifft(np.where(in_band[:, None], 2.0 * spectrum, 0.0), axis=0)
    return np.angle(analytic), share


def order_squared(angles: np.ndarray) -> float:
    """Mean over time of (N r^2 - 1) / (N - 1): 1 for equal phases, 0 on average for independent ones.

    angles: (T, N) in radians. NaN for fewer than two signals.
    """
    if angles.shape[1] < 2 or not len(angles):
        return math.nan
    return float(order_of(_locking(angles)))


def pairwise_consistency(angles: np.ndarray) -> float:
    """Mean over pairs of signals of (T |mean of exp(i difference)|^2 - 1) / (T - 1).

    angles: (T, N) in radians. 1 for constant differences, 0 on average for independent samples.
    """
    if angles.shape[1] < 2 or len(angles) < 2:
        return math.nan
    return float(consistency_of(_locking(angles), len(angles)))


def order_of(locking: np.ndarray) -> np.ndarray:
    """(...,) `order_squared` from (..., N, N) means of exp(i difference): N r^2 - 1 is a sum over pairs."""
    found: np.ndarray = _over_pairs(locking.real)
    return found


def consistency_of(locking: np.ndarray, num_samples: int) -> np.ndarray:
    """(...,) `pairwise_consistency` from (..., N, N) means of exp(i difference)."""
    found: np.ndarray = _over_pairs((num_samples * np.abs(locking) ** 2 - 1) / (num_samples - 1))
    return found


def _locking(angles: np.ndarray) -> np.ndarray:
    unit = np.exp(1j * angles)
    means: np.ndarray = unit.conj().T.dot(unit) / len(angles)
    return means


def _over_pairs(values: np.ndarray) -> np.ndarray:
    rows, columns = np.triu_indices(values.shape[-1], 1)
    means: np.ndarray = values[..., rows, columns].mean(axis=-1)
    return means
