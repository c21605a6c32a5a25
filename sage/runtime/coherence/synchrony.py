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
    num = angles.shape[1]
    if num < 2 or not len(angles):
        return math.nan
    r_squared = np.abs(np.exp(1j * angles).mean(axis=1)) ** 2
    return float(((num * r_squared - 1) / (num - 1)).mean())


def pairwise_consistency(angles: np.ndarray) -> float:
    """Mean over pairs of signals of (T |mean of exp(i difference)|^2 - 1) / (T - 1).

    angles: (T, N) in radians. 1 for constant differences, 0 on average for independent samples.
    """
    num_samples, num = angles.shape
    if num < 2 or num_samples < 2:
        return math.nan
    unit = np.exp(1j * angles)
    products = np.abs(unit.conj().T.dot(unit) / num_samples) ** 2
    pairs = products[np.triu_indices(num, 1)]
    return float(((num_samples * pairs - 1) / (num_samples - 1)).mean())
