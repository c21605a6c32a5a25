"""What the loop tries to do: draws from the policy, by seed."""

from __future__ import annotations

import numpy as np
import pytest

from sage.runtime.tick.actor import Actor

MEAN, LOG_STD = np.array([0.5, 0.0, 1.0, -1.0], np.float32), np.zeros(4, np.float32)


def draws(actor: Actor, num: int = 4000) -> np.ndarray:
    return np.stack([actor.choose(MEAN, LOG_STD) for _ in range(num)])


def test_without_exploring_it_is_the_mode() -> None:
    actor = Actor(((1, 4),), explores=False, seed=0)
    assert actor.choose(MEAN, LOG_STD).tolist() == [pytest.approx(np.tanh(0.5)), -1.0, 1.0, -1.0]
    assert np.array_equal(Actor((), explores=False, seed=0).choose(MEAN, LOG_STD), np.tanh(MEAN))


def test_choices_are_drawn_from_their_softmax_and_the_rest_from_the_gaussian() -> None:
    drawn = draws(Actor(((1, 4),), explores=True, seed=1))
    assert set(np.unique(drawn[:, 1:])) == {-1.0, 1.0}
    assert (drawn[:, 1:].sum(1) == -1.0).all()
    shares = np.exp(MEAN[1:]) / np.exp(MEAN[1:]).sum()
    assert (drawn[:, 1:] > 0).mean(0) == pytest.approx(shares, abs=0.03)
    before = np.arctanh(drawn[:, 0].astype(np.float64))
    assert before.mean() == pytest.approx(0.5, abs=0.06)
    assert before.std() == pytest.approx(1.0, abs=0.05)


def test_draws_have_at_least_the_least_spread() -> None:
    actor = Actor((), explores=True, seed=0, min_std=0.8)
    narrow, wide = np.full(4, np.log(0.1), np.float32), np.full(4, np.log(1.5), np.float32)
    before = [np.arctanh(np.stack([actor.choose(MEAN, std) for _ in range(4000)])) for std in (narrow, wide)]
    assert before[0].std(0) == pytest.approx([0.8] * 4, abs=0.05)
    assert before[1].std(0) == pytest.approx([1.5] * 4, abs=0.1)


def test_equal_seeds_draw_equal_actions() -> None:
    first, again, other = (draws(Actor(((1, 4),), explores=True, seed=seed), 20) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_run_without_effectors_has_an_empty_action() -> None:
    nothing = np.zeros(0, np.float32)
    assert Actor((), explores=True, seed=0).choose(nothing, nothing).shape == (0,)
