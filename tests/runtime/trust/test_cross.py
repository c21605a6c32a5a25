"""The leave-one-out Gaussian: equal to the textbook conditional, blind to the source it judges."""

from __future__ import annotations

import numpy as np
import pytest

from sage.compiled import has_compiler
from sage.runtime.trust.cross import CrossPredictor

UNKNOWN = np.zeros(3)


def fed(num: int = 4000, seed: int = 0) -> tuple[CrossPredictor, np.ndarray]:
    generator = np.random.default_rng(seed)
    mixing = generator.normal(0, 1, (6, 3))
    cross = CrossPredictor(np.array([0, 2, 4, 6]), min_shrinkage=1e-4)
    z = np.zeros(6)
    for _ in range(num):
        z = mixing @ generator.normal(0, 1, 3) + generator.normal(0, 0.3, 6)
        cross.update(z, np.ones(3), np.ones(3, dtype=bool))
    return cross, mixing @ mixing.T + 0.09 * np.eye(6)


def test_it_is_the_gaussian_conditional_mean():
    cross, covariance = fed(20000)
    z = np.array([0.3, -1.0, 0.8, 0.2, -0.5, 1.2])
    estimate = cross.judge(z, np.ones(3), np.ones(3, dtype=bool), UNKNOWN).estimate
    own, rest = [2, 3], [0, 1, 4, 5]
    expected = covariance[np.ix_(own, rest)] @ np.linalg.solve(covariance[np.ix_(rest, rest)], z[rest])
    assert estimate[own] == pytest.approx(expected, abs=0.25)


def test_a_source_does_not_change_its_own_estimate():
    cross, _ = fed()
    z = np.array([0.3, -1.0, 0.8, 0.2, -0.5, 1.2])
    changed = z.copy()
    changed[2:4] = 50.0
    all_present = np.ones(3, dtype=bool)
    assert cross.judge(z, np.ones(3), all_present, UNKNOWN).estimate[2:4] == pytest.approx(
        cross.judge(changed, np.ones(3), all_present, UNKNOWN).estimate[2:4], abs=1e-9
    )


def test_alone_nothing_is_defined():
    cross, _ = fed(200)
    assert not cross.judge(np.zeros(6), np.ones(3), np.array([True, False, False]), UNKNOWN).is_defined.any()


def test_readings_of_trust_0_do_not_change_the_gaussian():
    trusting, _ = fed(500)
    before = trusting.state()["sum"].copy()
    trusting.update(np.full(6, 1000.0), np.zeros(3), np.ones(3, dtype=bool))
    assert np.abs(trusting.state()["sum"]).max() <= np.abs(before).max()


def test_a_change_of_unit_changes_no_judgement():
    cross, _ = fed(800)
    z, all_present = np.array([0.3, -1.0, 0.8, 0.2, -0.5, 1.2]), np.ones(3, dtype=bool)
    cross._refactor()
    before = cross.judge(z, np.ones(3), all_present, UNKNOWN).estimate
    ratio = np.array([2.0, 0.5, 1.0, 3.0, 1.0, 0.1])
    cross.rescale(ratio)
    assert cross.judge(z * ratio, np.ones(3), all_present, UNKNOWN).estimate == pytest.approx(
        before * ratio, rel=1e-6
    )


def test_a_witness_that_rarely_moved_explains_no_jump():
    generator = np.random.default_rng(0)
    cross = CrossPredictor(np.array([0, 1, 2]), min_shrinkage=1e-3)
    both, unknown = np.ones(2, dtype=bool), np.zeros(2)
    for _ in range(2000):
        latent = generator.normal()
        cross.update(np.array([latent, 1e-3 * latent]), np.ones(2), both)
    assert abs(cross.judge(np.array([0.0, 10.0]), np.ones(2), both, unknown).estimate[0]) < 7


def test_a_derived_source_is_neither_used_nor_judged():
    generator = np.random.default_rng(0)
    cross = CrossPredictor(np.array([0, 1, 2, 3]), np.array([True, True, False]))
    all_present, unknown = np.ones(3, dtype=bool), np.zeros(3)
    for _ in range(500):
        cross.update(np.full(3, generator.normal()), np.ones(3), all_present)
    quiet = cross.judge(np.array([1.0, 1.0, 1.0]), np.ones(3), all_present, unknown)
    loud = cross.judge(np.array([1.0, 1.0, 50.0]), np.ones(3), all_present, unknown)
    assert quiet.estimate[:2] == pytest.approx(loud.estimate[:2])
    assert quiet.is_defined.tolist() == [True, True, False]


@pytest.mark.skipif(not has_compiler(), reason="numba is not installed")
def test_compiled_and_interpreted_estimates_agree():
    """Sources of several sizes that come and go, one derived from others, one of trust 0, jumps, and a change
    of units."""
    generator, offsets = np.random.default_rng(4), np.array([0, 1, 4, 14, 16])
    is_witness = np.array([True, True, True, False])
    pair = [CrossPredictor(offsets, is_witness, is_compiled=is_compiled) for is_compiled in (False, True)]
    mixing = generator.normal(0, 1, (16, 3))
    for tick in range(200):
        z = mixing.dot(generator.normal(0, 1, 3)) + generator.normal(0, 0.3, 16)
        z[1:4] += 30.0 * (tick % 40 == 39)
        trust = generator.random(4) * (np.arange(4) != tick // 50)
        present = generator.random(4) < 0.8
        noise = np.where(generator.random(4) < 0.2, 0.0, 0.5)
        one, other = (each.judge(z, trust, present, noise) for each in pair)
        np.testing.assert_allclose(other.estimate, one.estimate, rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(other.is_defined, one.is_defined)
        for each in pair:
            each.update(z, trust, present)
            if tick == 100:
                each.rescale(np.linspace(0.5, 2.0, 16))
    for name, array in pair[0].state().items():
        np.testing.assert_allclose(pair[1].state()[name], array, rtol=1e-12, err_msg=name)
    assert np.abs(one.estimate).max() > 0
