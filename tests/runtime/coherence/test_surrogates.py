"""Surrogates keep each signal's own structure and remove what signals share."""

from __future__ import annotations

import math

import numpy as np

from sage.runtime.coherence.surrogates import Null, null, phase_shuffled, rolled, shifted


def smooth(generator: np.random.Generator, num: int, width: int = 20) -> np.ndarray:
    noise = generator.standard_normal(num + width)
    return np.convolve(noise, np.ones(width) / width, mode="valid")[:num]


def correlation(signals: np.ndarray) -> float:
    return float(np.corrcoef(signals.T)[0, 1])


def test_a_shift_changes_no_value_and_leaves_the_first_signal() -> None:
    generator = np.random.default_rng(0)
    signals = generator.standard_normal((64, 3, 2))
    moved = shifted(signals, generator)
    assert np.array_equal(moved[:, 0], signals[:, 0])
    for index in (1, 2):
        lag = next(
            lag for lag in range(64) if np.array_equal(np.roll(signals[:, index], lag, 0), moved[:, index])
        )
        assert 8 <= lag < 56
    assert np.array_equal(np.sort(rolled(signals, generator), axis=0), np.sort(signals, axis=0))


def test_short_windows_can_be_shifted() -> None:
    generator = np.random.default_rng(0)
    for num in (1, 2, 3):
        assert shifted(np.arange(2.0 * num).reshape(num, 2), generator).shape == (num, 2)


def test_phase_shuffling_keeps_the_spectrum() -> None:
    generator = np.random.default_rng(0)
    for num in (100, 101):
        signal = smooth(generator, num)
        shuffled = phase_shuffled(signal, generator)
        assert np.allclose(np.abs(np.fft.rfft(shuffled)), np.abs(np.fft.rfft(signal)), atol=1e-9)
        assert not np.allclose(shuffled, signal)


def test_independent_smooth_signals_are_not_significant() -> None:
    """|z| < 2 in at least 85% of runs; a test that took samples as independent would reject most."""
    generator = np.random.default_rng(1)
    inside = naive = 0
    for _ in range(100):
        signals = np.column_stack([smooth(generator, 300), smooth(generator, 300)])
        value = correlation(signals)
        chance = null(lambda signals=signals: correlation(shifted(signals, generator)))
        inside += abs(chance.z(value)) < 2
        naive += abs(value) * math.sqrt(300) < 2
    assert inside >= 85
    assert naive <= 60


def test_a_coupled_pair_is_significant() -> None:
    generator = np.random.default_rng(2)
    shared = smooth(generator, 300)
    signals = np.column_stack([shared, shared + 0.3 * smooth(generator, 300)])
    assert null(lambda: correlation(shifted(signals, generator))).z(correlation(signals)) > 3


def test_a_null_without_values_gives_no_z() -> None:
    nothing = null(lambda: math.nan)
    assert nothing.num == 0
    assert math.isnan(nothing.mean)
    assert math.isnan(nothing.z(1.0))
    assert math.isnan(Null(0.0, 0.0, 99).z(1.0))
