"""Deficit round robin, pinning and the value of a reading."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage.runtime.scheduling.deficit import DeficitRoundRobin
from sage.runtime.scheduling.pinning import Pinning
from sage.runtime.scheduling.value import ErrorGrowth


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 20), st.integers(1, 4), st.integers(0, 2**31))
def test_work_stays_within_one_cost_of_the_share(num: int, capacity: int, seed: int):
    generator = np.random.default_rng(seed)
    weights, costs = generator.uniform(0.1, 1.0, num), generator.integers(1, capacity + 1, num).astype(float)
    robin = DeficitRoundRobin(num)
    work, every, is_saturated = np.zeros(num), np.ones(num, dtype=bool), False
    for _ in range(40):
        before = robin.rounds
        chosen = robin.choose(weights, every, capacity, costs)
        assert len(set(chosen.tolist())) == len(chosen)
        assert costs[chosen].sum() <= capacity
        work[chosen] += costs[chosen]
        assert (robin.deficits >= 0).all()
        assert (robin.deficits <= costs + 1e-9).all()
        is_saturated |= bool(((robin.rounds - before) * weights > costs).any())
        if not is_saturated:  # otherwise a claimant deserves more than one service a choice
            assert (np.abs(work - robin.rounds * weights) <= costs + 1e-6).all()


def test_ties_go_round_and_a_claimant_without_weight_takes_what_is_left():
    robin = DeficitRoundRobin(3)
    every = np.ones(3, dtype=bool)
    assert [int(robin.choose(np.ones(3), every, 1)[0]) for _ in range(6)] == [0, 1, 2, 0, 1, 2]
    alone = np.array([False, True, False])
    assert robin.choose(np.zeros(3), alone, 2).tolist() == [1]
    assert robin.choose(np.ones(3), ~every, 2).tolist() == []


def test_a_source_is_pinned_while_its_agreement_changes():
    pinning = Pinning(2, window=8, threshold=0.3)
    for _ in range(20):
        assert not pinning.note(np.array([0.9, 0.9])).any()
    pinned = [bool(pinning.note(np.array([0.1, 0.9]))[0]) for _ in range(20)]
    assert any(pinned[:6])
    assert not pinned[-1]  # low and constant
    assert not pinning.note(np.array([np.nan, 0.9])).any()


def test_the_value_is_the_root_of_the_growth_of_error():
    growth = ErrorGrowth(3)
    assert growth.value.tolist() == [1.0, 1.0, 1.0]
    for _ in range(80):
        growth.note(np.array([4.0, 8.0, np.nan]), np.array([1, 2, 9]))
    assert growth.value == pytest.approx([2.0, 2.0, 2.0])
