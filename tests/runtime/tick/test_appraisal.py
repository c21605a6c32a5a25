"""Novelty from records alone: nothing until a source is known, high for what it never showed, and it wears
off.
"""

from __future__ import annotations

import numpy as np

from sage.runtime.tick.appraisal import Appraisal

FRESH = np.array([True, True])


def records(generator: np.random.Generator) -> np.ndarray:
    return generator.normal(0, 1, (2, 34))


def test_novelty_is_undefined_without_a_record_and_before_eight():
    appraisal, generator = Appraisal(2), np.random.default_rng(0)
    for seen in range(20):
        novelty = appraisal.novelty(records(generator), np.array([True, False]))
        assert np.isnan(novelty[1])
        assert np.isfinite(novelty[0]) == (seen >= 8)


def test_an_unusual_record_is_novel_until_it_is_usual():
    appraisal, generator = Appraisal(2), np.random.default_rng(0)
    usual = [appraisal.novelty(records(generator), FRESH)[0] for _ in range(300)][100:]
    jumps = [appraisal.novelty(records(generator) + np.array([[8.0], [0.0]]), FRESH) for _ in range(300)]
    assert jumps[0][0] > 0.99 > max(usual)
    assert jumps[0][1] < 0.8
    assert jumps[-1][0] < 0.8


def test_a_constant_feature_has_no_effect():
    appraisal = Appraisal(1)
    found = [appraisal.novelty(np.full((1, 34), 5.0), np.array([True]))[0] for _ in range(30)]
    assert np.nanmax(found) == 0.0
