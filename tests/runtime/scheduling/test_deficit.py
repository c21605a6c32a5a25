"""Deficit round robin, pinning and the value of a reading."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage.runtime.scheduling.deficit import DeficitRoundRobin
from sage.runtime.scheduling.pinning import Pinning
from sage.runtime.scheduling.value import ErrorGrowth, cost_of_waiting


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
        growth.note(np.array([4.0, 8.0, np.nan]), np.array([1, 2, 9]), np.array([True, True, False]))
    assert growth.value == pytest.approx([2.0, 2.0, 2.0])


def test_a_source_that_is_read_and_never_changes_has_no_growth():
    growth = ErrorGrowth(2)
    for _ in range(2):
        growth.note(np.array([4.0, np.nan]), np.ones(2, np.int64), np.array([True, True]))
    assert growth.rate.tolist() == [4.0, 0.0]


def test_the_cost_of_waiting_comes_to_frequencies_of_the_root_of_the_rate():
    rate, waited, num = np.array([16.0, 4.0, 1.0]), np.ones(3), np.zeros(3)
    for _ in range(7000):
        index = int(np.argmax(cost_of_waiting(rate, np.ones(3), waited)))
        num[index] += 1
        waited += 1
        waited[index] = 1
    assert num / num[2] == pytest.approx([4.0, 2.0, 1.0], rel=0.1)


def test_a_distrusted_source_gets_no_more_than_the_median_and_no_less_for_small_errors():
    trust = np.array([0.0, 0.0, 1.0, 1.0, 0.5])
    cost = cost_of_waiting(np.array([100.0, 1.0, 2.0, 3.0, 8.0]), trust, np.ones(5))
    assert cost.tolist() == [3.0, 1.0, 2.0, 3.0, 5.5]


def test_a_source_whose_next_reading_comes_late_costs_more():
    cost = cost_of_waiting(np.ones(2), np.ones(2), np.full(2, 5.0), np.array([1.0, 5.0]))
    assert cost.tolist() == [15.0, 25.0]
