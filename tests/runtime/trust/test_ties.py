"""Sources that change together are tied; sources whose levels are only correlated are not."""

from __future__ import annotations

import numpy as np
import pytest

from sage.compiled import has_compiler
from sage.runtime.trust.cross import CrossPredictor
from sage.runtime.trust.ties import Ties

BOTH = np.ones(2, dtype=bool)


def tied(values: np.ndarray) -> np.ndarray:
    """Whether each of two sources with these readings (T, 2) is tied after each reading."""
    cross, ties, found = CrossPredictor(np.arange(3)), Ties(np.arange(3)), []
    for z in values:
        others = cross.judge(z, np.ones(2), BOTH, np.zeros(2))
        ties.update(BOTH & others.is_defined, z, others.estimate, np.ones(2))
        cross.update(z, np.ones(2), BOTH)
        found.append(ties.is_tied)
    return np.array(found)


def test_two_views_of_one_state_are_tied():
    generator = np.random.default_rng(0)
    state = np.cumsum(generator.normal(0, 0.2, 800))
    found = tied(state[:, None] * [1.0, -0.5] + generator.normal(0, 0.05, (800, 2)))
    assert not found[:90].any(), "too few changes were seen"
    assert found[300:].mean() > 0.95


def test_two_levels_that_wander_on_their_own_are_not_tied():
    shares = [
        tied(np.cumsum(np.random.default_rng(seed).normal(0, 0.1, (800, 2)), axis=0))[200:].mean()
        for seed in range(4)
    ]
    assert max(shares) < 0.1


@pytest.mark.skipif(not has_compiler(), reason="numba is not installed")
def test_compiled_and_interpreted_ties_are_equal() -> None:
    generator, offsets = np.random.default_rng(3), np.array([0, 3, 4, 8])
    both = [Ties(offsets, is_compiled=is_compiled) for is_compiled in (True, False)]
    for _ in range(120):
        values, estimate = generator.normal(0, 1, (2, 8))
        estimate = 0.9 * values + 0.1 * estimate
        fresh, trust = generator.random(3) < 0.8, generator.random(3)
        for ties in both:
            ties.update(fresh, values, estimate, trust)
    compiled, interpreted = (ties.state() for ties in both)
    for name, array in interpreted.items():
        np.testing.assert_array_equal(compiled[name], array, name)
    assert both[0].is_tied.any()


def test_a_snapshot_restores_the_ties():
    generator = np.random.default_rng(0)
    first, second = Ties(np.arange(3)), Ties(np.arange(3))
    for _ in range(200):
        first.update(BOTH, generator.normal(size=2), np.zeros(2), np.ones(2))
    second.load_state(first.state())
    second.load_state({})  # of an older snapshot: nothing changes
    values = generator.normal(size=2)
    for each in (first, second):
        each.update(BOTH, values, 0.9 * values, np.ones(2))
    for name, array in first.state().items():
        np.testing.assert_array_equal(second.state()[name], array)
