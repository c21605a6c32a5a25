"""Attention: the best K, and nobody starves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage.compiled import has_compiler
from sage.errors import InputError
from sage.runtime.config import AttentionConfig
from sage.runtime.scheduling.attention import Attention
from sage.runtime.scheduling.skips import ATTENDED, BUDGET, skip_words
from sage.runtime.scheduling.value import Ages

needs_numba = pytest.mark.skipif(not has_compiler(), reason="numba is not installed")


def test_all_are_chosen_when_they_fit():
    attention = Attention(4, AttentionConfig(top_k=4))
    candidates = np.array([True, False, True, True])
    assert (attention.choose(np.ones(4), candidates) == candidates).all()


def test_a_source_of_events_is_chosen_at_each_reading_and_takes_no_place():
    always = np.arange(20) >= 18
    attention = Attention(20, AttentionConfig(top_k=4), always=always)
    generator = np.random.default_rng(0)
    waited = np.zeros(20)
    for tick in range(400):
        candidates = generator.random(20) < 0.9
        chosen = attention.choose(generator.random(20) * ~always, candidates)
        assert (chosen[always] == candidates[always]).all()
        assert (attention.skips[always & candidates] == ATTENDED).all()
        assert (chosen & ~always).sum() == min(4, (candidates & ~always).sum())
        waited = np.where(chosen | ~candidates, 0, waited + 1)
        assert waited.max() <= attention.max_wait, tick


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
        assert (attention.skips[~chosen] == BUDGET).all()
        assert (attention.skips[chosen] == ATTENDED).all()


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_hard_rates_and_the_limit_on_waiting_hold_together(data: st.DataObject):
    """Sources with hard rates use up to 0.9 of the places, and 0.95 together with what the limit on waiting
    claims; one producer is capped, one source is pinned.
    """
    top_k = data.draw(st.integers(1, 6))
    names, rates, share = [], {}, 0.0
    for index in range(data.draw(st.integers(0, 4 * top_k))):
        period = data.draw(st.integers(1, 12))
        if share + 1 / period > 0.9 * top_k:
            break
        share += 1 / period
        names.append(f"hard.{index}")
        rates[names[-1]] = 20.0 / period
    num_soft = data.draw(st.integers(1, 30))
    names += [f"soft.{index}" for index in range(num_soft)]
    policy = data.draw(st.sampled_from(["whittle", "top_k", "deficit"]))
    config = AttentionConfig(top_k=top_k, rates_hz=rates, max_per_producer=1, policy=policy)
    num = len(names)
    if share > 0 and share + num_soft / (int(4 * num / top_k + 1) + 1) > 0.95 * top_k:
        return  # nearly all that there is, or more
    attention = Attention(num, config, names=names)
    generator = np.random.default_rng(data.draw(st.integers(0, 99)))
    score, pinned, every = generator.random(num) ** 8, np.zeros(num, dtype=bool), np.ones(num, dtype=bool)
    pinned[-1] = True
    num_hard = len(rates)
    for _ in range(8 * num):
        chosen = attention.choose(score, every, pinned=pinned, held=generator.random(num) < 0.5)
        assert chosen.sum() <= top_k
        assert attention.waited[num_hard:].max() <= 4 * num / top_k + 1
    assert attention.num_missed == 0


def test_a_source_that_delivers_seldom_gets_its_turn():
    """Every fourth tick, as the three others of its phase; of 16 sources one place."""
    attention = Attention(16, AttentionConfig(top_k=1, age_boost=0.0))
    score = np.linspace(0.1, 1.0, 16)
    num = np.zeros(16)
    for tick in range(4 * 16 * 8):
        num += attention.choose(score, np.arange(16) % 4 == tick % 4)
    assert num.min() >= 2


def test_a_producer_gets_no_more_than_its_cap_while_others_want_the_places():
    config = AttentionConfig(top_k=3, max_per_producer=1, producers={"drone": ("imu", "gps")})
    attention = Attention(5, config, names=["host.cpu", "host.ram", "imu", "gps", "camera"])
    chosen = attention.choose(np.array([1.0, 0.9, 0.8, 0.7, 0.1]), np.ones(5, dtype=bool))
    assert chosen.tolist() == [True, False, True, False, True]
    assert skip_words(attention.skips.tolist(), ["running"] * 5) == ("", "cap", "", "cap", "")
    two = np.array([True, True, False, False, False])
    assert (attention.choose(np.ones(5), two) == two).all()  # the places are not short


def test_a_held_source_waits_although_there_is_a_place_and_has_its_reason():
    attention = Attention(2, AttentionConfig(top_k=2))
    chosen = attention.choose(np.ones(2), np.ones(2, dtype=bool), held=np.array([True, False]))
    assert chosen.tolist() == [False, True]
    assert skip_words(attention.skips.tolist(), ["running"] * 2) == ("held by posture", "")
    attention.choose(np.ones(2), np.zeros(2, dtype=bool))
    assert skip_words(attention.skips.tolist(), ["running", "quarantined"]) == ("not due", "quarantined")


def test_a_pinned_source_comes_before_better_ones():
    attention = Attention(4, AttentionConfig(top_k=2))
    pinned = np.array([True, False, False, False])
    chosen = attention.choose(np.array([0.1, 0.9, 0.8, 0.2]), np.ones(4, dtype=bool), pinned=pinned)
    assert chosen.tolist() == [True, True, False, False]


def test_deficit_follows_score_times_value():
    """One place; the third source's value is four times that of the others."""
    attention = Attention(3, AttentionConfig(top_k=1, policy="deficit"))
    num = np.zeros(3)
    for _ in range(600):
        num += attention.choose(np.ones(3), np.ones(3, dtype=bool), value=np.array([1.0, 1.0, 4.0]))
    assert num / 600 == pytest.approx([1 / 6, 1 / 6, 4 / 6], abs=0.02)


@pytest.mark.parametrize(
    ("rates", "words"),
    [({"a*": 40.0}, "at most 20 Hz"), ({"a*": 20.0}, "too much beside"), ({"*": 20.0}, "of the capacity")],
)
def test_rates_that_cannot_be_kept_are_refused(rates: dict[str, float], words: str):
    with pytest.raises(InputError, match=words):
        Attention(3, AttentionConfig(top_k=2, rates_hz=rates), names=["a1", "a2", "b"])


@pytest.mark.parametrize(("settings", "expected"), [({}, 4), ({"age_boost": 0.0}, 7)])
def test_the_age_boost_brings_a_waiting_source_forward(settings: dict[str, float], expected: int):
    """Scores 1.0, 0.6 and 0.6 with one place: the boost is 0.18 a tick; without it, 6 ticks are the limit."""
    attention = Attention(3, AttentionConfig(policy="top_k", top_k=1, **settings))
    score = np.array([1.0, 0.6, 0.6])
    chosen = [int(attention.choose(score, np.ones(3, dtype=bool)).argmax()) for _ in range(10)]
    assert 1 + next(tick for tick, source in enumerate(chosen) if source != 0) == expected


@pytest.mark.parametrize("is_compiled", [False, pytest.param(True, marks=needs_numba)])
def test_recency_is_full_within_two_periods_then_halves(is_compiled: bool):
    ages = Ages(np.full(6, 100.0), np.full(6, 250.0), is_compiled=is_compiled)
    captured_ns = np.array([1_000, 800, 700, -1, 1_001, 900])
    is_running = np.array([True, True, True, True, True, False])
    age_ns, usable, recency = ages.of(captured_ns, 1_000, is_running)
    assert age_ns.tolist() == [0, 200, 300, -1, 0, 100]
    assert usable.tolist() == [True, True, False, False, True, False]
    assert recency.tolist() == [1.0, 1.0, 0.5, 0.0, 1.0, 1.0]
