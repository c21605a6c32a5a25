"""What is kept is kept by weight, at random, and no context starves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage.memory.stores.reservoir import WeightedReservoir


def kept_items(reservoir: WeightedReservoir, weights: np.ndarray, contexts: np.ndarray) -> np.ndarray:
    """Index of the item in each slot, after offering them in order."""
    holds = np.full(reservoir.capacity, -1)
    for item, (weight, context) in enumerate(zip(weights, contexts)):
        slot = reservoir.offer(float(weight), int(context))
        if slot is not None:
            holds[slot] = item
    return holds[: len(reservoir)]


@pytest.mark.parametrize("ratio", [1.0, 3.0, 10.0])
def test_items_are_kept_in_proportion_to_their_weight(ratio: float) -> None:
    """Half the stream weighs `ratio`; where few of many are kept the share of heavy ones is ratio / (1 +
    ratio).
    """
    weights = np.tile([0.1, 0.1 * ratio], 500)
    shares = [
        np.mean(kept_items(WeightedReservoir(20, seed), weights, np.zeros(1000, int)) % 2)
        for seed in range(40)
    ]
    expected = ratio / (1 + ratio)
    standard_error = np.sqrt(expected * (1 - expected) / (20 * 40))
    assert abs(np.mean(shares) - expected) < 4 * standard_error + 0.01  # without replacement: a little less


def test_the_first_single_draw_follows_the_weights_exactly() -> None:
    """With one slot, A-Res keeps item i with probability w_i / sum(w) (Efraimidis and Spirakis 2006)."""
    weights = np.array([0.05, 1.05, 0.3, 0.6])
    kept = [
        kept_items(WeightedReservoir(1, seed), weights, np.zeros(4, int))[0] for seed in range(10_000, 12_000)
    ]
    counts = np.bincount(kept, minlength=4)
    expected = 2000 * weights / weights.sum()
    assert ((counts - expected) ** 2 / expected).sum() < 16.3  # chi2, 3 degrees of freedom, 0.1%


def test_early_and_late_items_stay_with_equal_probability() -> None:
    ages = np.concatenate(
        [kept_items(WeightedReservoir(32, seed), np.ones(320), np.zeros(320, int)) for seed in range(40)]
    )
    assert abs(ages.mean() - 159.5) < 4 * 320 / np.sqrt(12 * len(ages))


@settings(max_examples=80, deadline=None)
@given(
    capacity=st.integers(1, 24),
    contexts=st.lists(st.integers(0, 6), min_size=1, max_size=200),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_context_that_was_seen_often_enough_falls_below_its_share(
    capacity: int, contexts: list[int], seed: int
) -> None:
    reservoir = WeightedReservoir(capacity, seed)
    weights = np.random.default_rng(seed).uniform(0.05, 1.05, len(contexts))
    kept_items(reservoir, weights, np.array(contexts))
    assert len(reservoir) == min(capacity, len(contexts))
    assert reservoir.num_seen == len(contexts)
    labels, num_seen = np.unique(contexts, return_counts=True)
    if len(labels) <= capacity:
        share = capacity // len(labels)
        num_kept = np.array([np.count_nonzero(reservoir.contexts == label) for label in labels])
        assert (num_kept >= np.minimum(num_seen, share)).all()


def test_a_rare_context_stays_beside_a_frequent_one() -> None:
    reservoir = WeightedReservoir(10, seed=0)
    kept_items(reservoir, np.ones(5000), np.r_[np.ones(5, int), np.zeros(4995, int)])
    assert np.count_nonzero(reservoir.contexts == 1) == 5


def test_one_seed_selects_the_same_items() -> None:
    weights, contexts = np.random.default_rng(0).uniform(0.05, 1.0, 300), np.arange(300) % 3
    one, other = (kept_items(WeightedReservoir(20, 9), weights, contexts) for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_an_invalid_weight_raises(weight: float) -> None:
    with pytest.raises(ValueError, match="weight"):
        WeightedReservoir(2, 0).offer(weight, 0)
