"""Attention: the best K, and nobody starves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage.runtime.config import AttentionConfig
from sage.runtime.tick.attention import Attention, recency


def test_all_are_chosen_when_they_fit():
    attention = Attention(4, AttentionConfig(top_k=4))
    candidates = np.array([True, False, True, True])
    assert (attention.choose(np.ones(4), candidates) == candidates).all()


def test_the_best_are_chosen_first():
    attention = Attention(4, AttentionConfig(top_k=2))
    assert attention.choose(np.array([0.1, 0.9, 0.2, 0.8]), np.ones(4, dtype=bool)).tolist() == [
        False,
        True,
        False,
        True,
    ]


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 40), st.integers(1, 8), st.integers(0, 2**31))
def test_no_source_waits_longer_than_four_n_over_k(num: int, top_k: int, seed: int):
    attention = Attention(num, AttentionConfig(top_k=top_k, age_boost=0.0))
    score = np.random.default_rng(seed).random(num) ** 8
    waited = np.zeros(num)
    for _ in range(20 * num):
        chosen = attention.choose(score, np.ones(num, dtype=bool))
        assert chosen.sum() <= max(top_k, 1)
        waited = np.where(chosen, 0, waited + 1)
        assert waited.max() <= 4 * num / top_k + 1


@pytest.mark.parametrize(("settings", "expected"), [({}, 4), ({"age_boost": 0.0}, 7)])
def test_the_age_boost_brings_a_waiting_source_forward(settings: dict[str, float], expected: int):
    """Scores 1.0, 0.6 and 0.6 with one place: the boost is 0.18 a tick; without it, 6 ticks are the limit."""
    attention = Attention(3, AttentionConfig(top_k=1, **settings))
    score = np.array([1.0, 0.6, 0.6])
    chosen = [int(attention.choose(score, np.ones(3, dtype=bool)).argmax()) for _ in range(10)]
    assert 1 + next(tick for tick, source in enumerate(chosen) if source != 0) == expected


def test_recency_is_full_within_two_periods_then_halves():
    period = np.full(4, 100.0)
    assert recency(np.array([0.0, 200.0, 300.0, -1.0]), period).tolist() == [1.0, 1.0, 0.5, 0.0]
