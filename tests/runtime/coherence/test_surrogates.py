"""Surrogates keep each signal's own structure and remove what signals share."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sage.runtime.coherence import information, similarity, synchrony
from sage.runtime.coherence.surrogates import LagTable, Null, draw_lags, null_of, phase_shuffled, shifted


def smooth(generator: np.random.Generator, num: int, width: int = 20) -> np.ndarray:
    noise = generator.standard_normal(num + width)
    return np.convolve(noise, np.ones(width) / width, mode="valid")[:num]


def correlation(signals: np.ndarray) -> float:
    return float(np.corrcoef(signals.T)[0, 1])


def surrogates(signals: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    lags = draw_lags(generator, 99, signals.shape[1], len(signals))
    return np.array([correlation(shifted(signals, each)) for each in lags])


def test_a_shift_changes_no_value_and_leaves_the_first_signal() -> None:
    generator = np.random.default_rng(0)
    signals = generator.standard_normal((64, 3, 2))
    lags = draw_lags(generator, 20, 3, 64)
    assert (lags[:, 0] == 0).all()
    assert lags[:, 1:].min() >= 8
    assert lags.max() < 56
    moved = shifted(signals, lags[0])
    assert np.array_equal(moved[:, 0], signals[:, 0])
    assert np.array_equal(moved[:, 2], np.roll(signals[:, 2], lags[0, 2], axis=0))


def test_short_windows_can_be_shifted() -> None:
    generator = np.random.default_rng(0)
    for num in (1, 2, 3):
        assert draw_lags(generator, 4, 2, num).shape == (4, 2)


@pytest.mark.parametrize("is_complex", [False, True])
def test_a_table_of_lags_has_the_products_of_shifted_signals(is_complex: bool) -> None:
    generator = np.random.default_rng(0)
    signals = generator.standard_normal((40, 3, 2)) + 1j * is_complex * generator.standard_normal((40, 3, 2))
    lags = np.array([[0, 5, 30], [3, 39, 0]])
    found = LagTable(signals).at(lags)
    for row, lag in zip(found, lags):
        moved = shifted(signals, lag)
        assert np.allclose(row, np.einsum("tid,tjd->ij", moved.conj(), moved) / 40)


def test_figures_from_the_table_are_those_of_shifted_signals() -> None:
    generator = np.random.default_rng(3)
    signals = generator.standard_normal((60, 4)) + generator.standard_normal((60, 1))
    lags = draw_lags(generator, 3, 4, 60)
    angles = synchrony.phases(signals, 20.0, (0.5, 5.0))[0]
    locking = LagTable(np.exp(1j * angles)).at(lags)
    scores = information.normal_scores(signals)
    correlation = LagTable((scores - scores.mean(axis=0)) / scores.std(axis=0)).at(lags).real
    high, low = signals[:, :2], signals[:, 2:]
    cka = similarity.cka_at_lags(high, low, lags[:, 1])
    for index, lag in enumerate(lags):
        moved = shifted(signals, lag)
        turned = synchrony.phases(moved, 20.0, (0.5, 5.0))[0]
        assert synchrony.order_of(locking)[index] == pytest.approx(synchrony.order_squared(turned))
        found = synchrony.consistency_of(locking, 60)[index]
        assert found == pytest.approx(synchrony.pairwise_consistency(turned))
        found = information.total_correlation_of(correlation, 60)[index]
        assert found == pytest.approx(information.total_correlation(moved))
        found = information.o_information_of(correlation, 60)[index]
        assert found == pytest.approx(information.o_information(moved))
        assert cka[index] == pytest.approx(similarity.debiased_cka(high, np.roll(low, lag[1], axis=0)))


def test_phase_shuffling_keeps_the_spectrum() -> None:
    generator = np.random.default_rng(0)
    for num in (100, 101):
        signal = smooth(generator, num)
        shuffled = phase_shuffled(signal, generator)[0]
        assert np.allclose(np.abs(np.fft.rfft(shuffled)), np.abs(np.fft.rfft(signal)), atol=1e-9)
        assert not np.allclose(shuffled, signal)


def test_independent_smooth_signals_are_not_significant() -> None:
    """|z| < 2 in at least 85% of runs; a test that took samples as independent would reject most."""
    generator = np.random.default_rng(1)
    inside = naive = 0
    for _ in range(100):
        signals = np.column_stack([smooth(generator, 300), smooth(generator, 300)])
        value = correlation(signals)
        chance = null_of(surrogates(signals, generator))
        inside += abs(chance.z(value)) < 2
        naive += abs(value) * math.sqrt(300) < 2
    assert inside >= 85
    assert naive <= 60


def test_a_coupled_pair_is_significant() -> None:
    generator = np.random.default_rng(2)
    shared = smooth(generator, 300)
    signals = np.column_stack([shared, shared + 0.3 * smooth(generator, 300)])
    assert null_of(surrogates(signals, generator)).z(correlation(signals)) > 3


def test_a_null_without_values_gives_no_z() -> None:
    nothing = null_of(np.full(99, math.nan))
    assert nothing.num == 0
    assert math.isnan(nothing.mean)
    assert math.isnan(nothing.z(1.0))
    assert math.isnan(Null(0.0, 0.0, 99).z(1.0))
