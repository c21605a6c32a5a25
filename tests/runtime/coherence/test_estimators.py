"""Every estimator beside a truth that is known: within 2%, or within standard errors of its own mean."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage.runtime.coherence.calibration import (
    brier,
    calibration_error,
    log_loss,
    naive_calibration_error,
    squared_calibration_error,
)
from sage.runtime.coherence.dimension import jackknife, naive_participation_ratio, participation_ratio
from sage.runtime.coherence.information import (
    mutual_information,
    normal_scores,
    o_information,
    total_correlation,
)
from sage.runtime.coherence.similarity import biased_cka, debiased_cka
from sage.runtime.coherence.sources import (
    agreement,
    class_agreement,
    composite,
    cross_error,
    cross_error_deviation,
    skill,
)
from sage.runtime.coherence.synchrony import order_squared, pairwise_consistency, phases
from sage.runtime.coherence.timescales import autocorrelation_time, complexity, lempel_ziv


def mean_and_error(draw: Callable[[], float], num: int) -> tuple[float, float]:
    values = np.array([draw() for _ in range(num)])
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(num))


def assert_mean(draw: Callable[[], float], truth: float, num: int = 60) -> None:
    """Within 2% of the truth, or 3 standard errors of the mean of `num` independent draws."""
    mean, error = mean_and_error(draw, num)
    assert abs(mean - truth) <= max(0.02 * abs(truth), 3 * error), (mean, error)


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(7)


# Participation ratio


@pytest.mark.parametrize("num", [20, 100])
def test_the_participation_ratio_of_an_isotropic_cloud_is_its_dimension(
    generator: np.random.Generator, num: int
) -> None:
    draws = [generator.standard_normal((num, 128)) for _ in range(80)]
    # A ratio of two unbiased figures: the figures' means are compared, not the mean of ratios.
    ratio = np.mean([participation_ratio(draw) for draw in draws])
    assert ratio == pytest.approx(128, rel=0.1)
    assert naive_participation_ratio(draws[0]) < num


def test_the_participation_ratio_of_known_eigenvalues(generator: np.random.Generator) -> None:
    scale = np.array([3.0, 2.0, 1.0, 0.5])
    truth = float((scale**2).sum() ** 2 / (scale**4).sum())
    assert_mean(lambda: participation_ratio(generator.standard_normal((400, 4)) * scale), truth)


def test_the_participation_ratio_of_many_rows_is_that_of_the_rows_inner_products(
    generator: np.random.Generator,
) -> None:
    """More rows than columns, and with columns of zeros more columns than rows: the same figures."""
    few = generator.standard_normal((40, 6)) * np.arange(1, 7)
    wide = np.hstack([few, np.zeros((40, 60))])
    assert participation_ratio(few) == pytest.approx(participation_ratio(wide))
    assert naive_participation_ratio(few) == pytest.approx(naive_participation_ratio(wide))


def test_the_participation_ratio_of_heavy_tails_is_not_biased_by_their_kurtosis(
    generator: np.random.Generator,
) -> None:
    draws = [participation_ratio(generator.laplace(size=(60, 64))) for _ in range(80)]
    assert np.mean(draws) == pytest.approx(64, rel=0.1)


def test_too_few_samples_or_no_variation_have_no_dimension() -> None:
    assert math.isnan(participation_ratio(np.ones((3, 5))))
    assert math.isnan(participation_ratio(np.ones((50, 5))))
    assert math.isnan(naive_participation_ratio(np.ones((50, 5))))


def test_the_jackknife_takes_whole_groups(generator: np.random.Generator) -> None:
    groups = np.repeat(np.arange(20), 5)
    shared = generator.standard_normal((20, 8))[groups] + 0.1 * generator.standard_normal((100, 8))
    by_group = jackknife(shared, groups)
    by_row = jackknife(shared, np.arange(100))
    assert by_group[0] == by_row[0]
    assert by_group[1] > 1.5 * by_row[1]  # rows of a group are not independent
    assert math.isnan(jackknife(shared, np.zeros(100))[1])


# Similarity


@pytest.mark.parametrize("num", [50, 200])
def test_independent_representations_are_not_alike(generator: np.random.Generator, num: int) -> None:
    def pair() -> tuple[np.ndarray, np.ndarray]:
        return generator.standard_normal((num, 256)), generator.standard_normal((num, 256))

    assert biased_cka(*pair()) > 0.5
    assert abs(mean_and_error(lambda: debiased_cka(*pair()), 10)[0]) < 0.06


def test_a_rotated_and_scaled_representation_is_the_same(generator: np.random.Generator) -> None:
    states = generator.standard_normal((80, 12))
    rotation = np.linalg.qr(generator.standard_normal((12, 12)))[0]
    assert debiased_cka(states, 3 * states.dot(rotation) + 5) == pytest.approx(1.0)


def test_similarity_is_undefined_without_variation_or_for_unequal_inputs() -> None:
    flat = np.ones((20, 3))
    assert math.isnan(debiased_cka(flat, flat))
    assert math.isnan(debiased_cka(np.ones((3, 2)), np.ones((3, 2))))
    assert math.isnan(debiased_cka(np.ones((9, 2)), np.ones((8, 2))))


# Synchrony


def test_independent_phases_have_no_order(generator: np.random.Generator) -> None:
    assert_mean(lambda: order_squared(generator.uniform(0, 2 * np.pi, (50, 6))), 0.0)
    assert_mean(lambda: pairwise_consistency(generator.uniform(0, 2 * np.pi, (50, 6))), 0.0)


def test_equal_phases_are_in_order() -> None:
    angles = np.linspace(0, 9, 40)[:, None] + np.zeros(4)
    assert order_squared(angles) == pytest.approx(1.0)
    assert pairwise_consistency(angles + np.arange(4)) == pytest.approx(1.0)
    assert order_squared(angles + np.arange(4) * np.pi / 2) < 0.01


@pytest.mark.parametrize("coupling", [3.0, 6.0])
def test_the_order_of_coupled_oscillators_is_kuramotos(
    generator: np.random.Generator, coupling: float
) -> None:
    """Frequencies of a Lorentzian of width g: r = sqrt(1 - 2 g / K) (Kuramoto 1975)."""
    width, num, step = 1.0, 400, 0.05
    frequency = width * np.tan(np.pi * ((np.arange(num) + 0.5) / num - 0.5))  # its quantiles
    angles, series = generator.uniform(0, 2 * np.pi, num), []
    for index in range(1600):
        mean = np.exp(1j * angles).mean()
        angles = angles + step * (frequency + coupling * np.abs(mean) * np.sin(np.angle(mean) - angles))
        if index >= 800:
            series.append(angles)
    assert order_squared(np.array(series)) == pytest.approx(1 - 2 * width / coupling, abs=0.06)


def test_phases_of_a_sine_advance_with_it() -> None:
    time = np.arange(400) / 100
    angles, share = phases(np.sin(2 * np.pi * 5 * time)[:, None], 100.0, (4.0, 6.0))
    assert share == pytest.approx(1.0, abs=1e-6)
    steps = np.diff(np.unwrap(angles[:, 0]))
    assert np.allclose(steps, 2 * np.pi * 5 / 100, atol=1e-6)
    assert math.isnan(phases(np.ones((40, 1)), 100.0, (4.0, 6.0))[1])


# Information


def equicorrelated(generator: np.random.Generator, num: int) -> np.ndarray:
    root = np.linalg.cholesky(np.full((4, 4), 0.9) + 0.1 * np.eye(4))
    return generator.standard_normal((num, 4)).dot(root.T)


def summed(generator: np.random.Generator, num: int) -> np.ndarray:
    parts = generator.standard_normal((num, 3))
    return np.column_stack([parts, parts.sum(axis=1) + 0.5 * generator.standard_normal(num)])


@pytest.mark.parametrize(
    ("draw", "total", "o"), [(equicorrelated, 2.7997, 1.5517), (summed, 1.2825, -1.1317)]
)
def test_information_of_gaussians(
    generator: np.random.Generator,
    draw: Callable[[np.random.Generator, int], np.ndarray],
    total: float,
    o: float,
) -> None:
    signals = draw(generator, 40_000)
    assert total_correlation(signals) == pytest.approx(total, rel=0.02)
    assert o_information(signals) == pytest.approx(o, rel=0.02)


def test_independent_signals_share_nothing_also_when_few(generator: np.random.Generator) -> None:
    mean, error = mean_and_error(lambda: total_correlation(generator.standard_normal((60, 4))), 300)
    assert abs(mean) < max(0.01, 3 * error)  # the plug-in estimate is p (p - 1) / 4n = 0.05


def test_mutual_information_of_correlated_normals(generator: np.random.Generator) -> None:
    first = generator.standard_normal((20_000, 1))
    second = 0.6 * first + 0.8 * generator.standard_normal((20_000, 1))
    assert mutual_information(first, second) == pytest.approx(-0.5 * math.log(1 - 0.36), rel=0.05)
    # Ranks alone count: a monotone change of a signal changes nothing.
    assert mutual_information(np.exp(first), second) == mutual_information(first, second)


def test_information_is_undefined_for_copies_and_for_few_samples() -> None:
    signal = np.arange(30.0)[:, None]
    assert math.isnan(total_correlation(np.hstack([signal, signal])))
    assert math.isnan(total_correlation(np.ones((3, 4))))
    assert math.isnan(o_information(np.ones((5, 4))))


@given(st.integers(2, 50))
def test_normal_scores_are_a_permutation_of_quantiles(num: int) -> None:
    scores = normal_scores(np.random.default_rng(num).random((num, 2)))
    assert np.allclose(scores.sum(axis=0), 0, atol=1e-9)
    assert np.array_equal(np.sort(scores[:, 0]), np.sort(scores[:, 1]))


# Sources


def test_the_cross_error_of_honest_sources_is_one(generator: np.random.Generator) -> None:
    assert_mean(lambda: cross_error(generator.standard_normal((200, 4)) ** 2), 1.0)
    biased = generator.standard_normal((40_000,)) + 2.5
    assert cross_error(biased**2) == pytest.approx(1 + 2.5**2, rel=0.02)
    assert math.isnan(cross_error(np.full(4, np.nan)))


def test_the_deviation_of_the_cross_error_counts_shared_estimates(generator: np.random.Generator) -> None:
    """Five equal sensors, each judged by the mean of the others: their errors sum to a chi-square of 4."""

    def nis(num: int) -> np.ndarray:
        readings = generator.standard_normal((num, 5))
        others = (readings.sum(axis=1, keepdims=True) - readings) / 4
        return (readings - others) ** 2 / 1.25

    errors = np.array([cross_error(nis(50)) for _ in range(2000)])
    assert cross_error_deviation(nis(50), np.ones(5)) == pytest.approx(errors.std(), rel=0.1)
    assert math.isnan(cross_error_deviation(np.full((3, 2), np.nan), np.ones(2)))


def test_agreement_of_sources_that_share_a_signal(generator: np.random.Generator) -> None:
    shared = generator.standard_normal((300, 1, 64))
    noise = generator.standard_normal((300, 5, 64))
    trust = np.ones(5)
    assert agreement(np.broadcast_to(shared, (300, 5, 64)), trust) == pytest.approx(1.0)
    assert agreement(shared + noise, trust) == pytest.approx(0.5, abs=0.02)  # cos = 1 / (1 + 1)
    assert agreement(noise, trust) == pytest.approx(0.0, abs=0.01)


def test_a_source_without_trust_has_no_part_in_agreement(generator: np.random.Generator) -> None:
    shared = generator.standard_normal((100, 1, 16))
    states = np.concatenate([shared, shared, -shared], axis=1)
    assert agreement(states, np.array([1.0, 1.0, 0.0])) == pytest.approx(1.0)
    assert agreement(states, np.ones(3)) == pytest.approx(-1 / 3)
    assert math.isnan(agreement(states, np.zeros(3)))
    assert math.isnan(agreement(states[:, :1], np.ones(1)))


def test_agreeing_on_what_is_wrong_counts_nothing() -> None:
    assert composite(1.0, 0.0) == 0.0
    assert composite(1.0, -3.0) == 0.0
    assert composite(0.25, 1.0) == 0.5
    assert math.isnan(composite(math.nan, 0.0))


def test_skill_skips_what_was_not_scored() -> None:
    assert skill(np.array([1.0, np.nan, 1.0]), np.array([4.0, 4.0, 4.0])) == 0.75
    assert math.isnan(skill(np.zeros(2), np.zeros(2)))


def test_class_agreement_is_one_for_equal_and_zero_for_disjoint_sources() -> None:
    assert class_agreement(np.array([[0.2, 0.8], [0.2, 0.8]])) == pytest.approx(1.0)
    assert class_agreement(np.eye(3)) == pytest.approx(0.0)
    assert class_agreement(np.eye(3), np.array([0.5, 0.3, 0.2])) == pytest.approx(0.0)
    assert math.isnan(class_agreement(np.eye(3)[:1]))
    assert math.isnan(class_agreement(np.eye(2), np.array([1.0, 0.0])))


# Calibration


def test_a_calibrated_source_has_no_calibration_error(generator: np.random.Generator) -> None:
    def draw(estimate: Callable[[np.ndarray, np.ndarray], float], shift: float = 0.0) -> float:
        confidence = generator.uniform(0.5, 0.9, 200)
        return estimate(confidence + shift, (generator.random(200) < confidence).astype(float))

    assert_mean(lambda: draw(squared_calibration_error), 0.0, num=300)
    assert_mean(lambda: draw(squared_calibration_error, 0.1), 0.01, num=300)
    assert mean_and_error(lambda: draw(naive_calibration_error), 100)[0] > 0.03  # biased


def test_scores_of_confidence() -> None:
    confidence, is_right = np.array([1.0, 0.5, 0.0]), np.array([1.0, 1.0, 0.0])
    assert brier(confidence, is_right) == pytest.approx(0.25 / 3)
    assert log_loss(confidence, is_right) == pytest.approx(-(2 * math.log(1 - 1e-4) + math.log(0.5)) / 3)
    assert math.isnan(calibration_error(confidence, is_right))
    assert math.isnan(brier(np.zeros(0), np.zeros(0)))


# Time


@pytest.mark.parametrize("phi", [0.5, 0.9])
def test_the_autocorrelation_time_of_an_autoregression(generator: np.random.Generator, phi: float) -> None:
    def draw() -> float:
        noise = generator.standard_normal(1200)
        values = np.zeros(1200)
        for index in range(1, 1200):
            values[index] = phi * values[index - 1] + noise[index]
        return autocorrelation_time(values[200:])

    mean, error = mean_and_error(draw, 30)
    assert abs(mean + 1 / math.log(phi)) < max(0.05 * mean, 3 * error)


def test_times_of_signals_without_memory_or_variation() -> None:
    assert autocorrelation_time(np.tile([1.0, -1.0], 50)) == 0.0
    assert math.isnan(autocorrelation_time(np.ones(50)))
    assert math.isnan(complexity(np.ones(3)))


@pytest.mark.parametrize(
    ("text", "phrases"),
    [("0", 1), ("00", 2), ("0000000000000000", 2), ("0101010101010101", 3), ("1001111011000010", 6)],
)
def test_phrases_of_sequences_from_the_literature(text: str, phrases: int) -> None:
    """The last one is of Lempel and Ziv (1976): 1.0.01.1110.1100.0010."""
    assert lempel_ziv(np.array([int(symbol) for symbol in text])) == phrases


@settings(max_examples=100)
@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_phrases_are_those_of_the_definition(bits: list[bool]) -> None:
    """Each phrase is the shortest continuation that does not occur earlier; the last one may."""
    text = "".join("01"[bit] for bit in bits)
    start, num = 0, 0
    while start < len(text):
        stop = start + 1
        while stop <= len(text) and text[start:stop] in text[: stop - 1]:
            stop += 1
        start, num = stop, num + 1
    assert lempel_ziv(np.array(bits)) == num


def test_noise_is_complex_and_a_sine_is_not(generator: np.random.Generator) -> None:
    assert complexity(generator.standard_normal(2000)) > 0.9
    assert complexity(np.sin(np.arange(2000) / 20)) < 0.15
