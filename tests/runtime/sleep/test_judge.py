"""An examination by known answers: what is accepted, rolled back and undecided."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sage.runtime.report import SleepOutcome
from sage.runtime.sleep.judge import (
    chance_of_any_gain,
    chance_of_gain,
    judge,
    net_of_blocks,
    paired_difference,
    paired_gain,
)


def test_equal_losses_are_undecided():
    losses = np.linspace(0.5, 1.5, 20)
    assert paired_gain(losses, losses, 0) == (0.0, 0.0, 0.0)
    assert judge(losses, losses, np.ones(20, bool), 0).outcome is SleepOutcome.UNDECIDED


def test_half_the_loss_everywhere_is_a_gain_of_a_half():
    before = np.linspace(0.5, 1.5, 20)
    assert paired_gain(before, before / 2, 0) == pytest.approx((0.5, 0.5, 0.5))
    verdict = judge(before, before / 2, np.ones(20, bool), 0)
    assert verdict.outcome is SleepOutcome.ACCEPTED
    assert (verdict.loss_before, verdict.loss_after) == pytest.approx((1.0, 0.5))


def test_an_interval_holds_its_90_percent():
    """The true gain of 0.2 lies in the interval in about nine of ten draws of 40 stretches."""
    generator = np.random.default_rng(0)
    num_held = 0
    for draw in range(200):
        before = generator.uniform(0.5, 1.5, 40)
        _, low, high = paired_gain(before, 0.8 * before + generator.normal(0, 0.2, 40), draw)
        num_held += low <= 0.2 <= high
    assert 165 <= num_held <= 193


@pytest.mark.parametrize("num", [4, 6, 60])
def test_few_blocks_without_a_gain_are_accepted_no_more_often_than_many(num: int) -> None:
    """One in twenty by chance; plain quantiles of the resampled gains accept one in seven of 4 blocks."""
    generator, num_accepted = np.random.default_rng(1), 0
    for draw in range(300):
        before = generator.gamma(4.0, 1.0, num)
        _, low, _ = paired_gain(before, before * generator.normal(1.0, 0.1, num), draw)
        num_accepted += low > 0
    assert num_accepted <= 0.1 * 300


def test_one_puzzle_decides_nothing() -> None:
    gain, low, high = paired_difference(np.ones(1), np.zeros(1), 0)
    assert gain == -1.0
    assert math.isnan(low)
    assert math.isnan(high)


def test_worse_is_rolled_back_and_a_toss_up_undecided():
    before = np.ones(20)
    assert judge(before, before * 1.2, np.ones(20, bool), 0).outcome is SleepOutcome.ROLLED_BACK
    toss = before + np.where(np.arange(20) % 2, 0.3, -0.3)
    assert judge(before, toss, np.ones(20, bool), 0).outcome is SleepOutcome.UNDECIDED


def test_a_gain_on_new_experience_does_not_outweigh_a_loss_on_old():
    is_new = np.arange(20) < 10
    verdict = judge(np.ones(20), np.where(is_new, 0.5, 1.02), is_new, 0)
    assert verdict.outcome is SleepOutcome.ROLLED_BACK
    assert "worse on old experience" in verdict.reason
    assert (verdict.loss_old_before, verdict.loss_old_after) == pytest.approx((1.0, 1.02))
    assert judge(np.ones(20), np.where(is_new, 0.5, 1.005), is_new, 0).outcome is SleepOutcome.ACCEPTED


def test_two_new_windows_are_judged_with_the_old():
    is_new = np.arange(20) < 2
    assert judge(np.ones(20), np.where(is_new, 0.5, 1.2), is_new, 0).outcome is SleepOutcome.ROLLED_BACK
    alternating = np.where(np.arange(20) % 2, 1.3, 0.7)
    assert judge(np.ones(20), np.where(is_new, 0.9, alternating), is_new, 0).outcome is SleepOutcome.UNDECIDED


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_a_candidate_that_is_not_finite_is_rolled_back(poison: float):
    after = np.full(20, 0.5)
    after[7] = poison
    verdict = judge(np.ones(20), after, np.ones(20, bool), 0)
    assert verdict.outcome is SleepOutcome.ROLLED_BACK
    assert "not finite" in verdict.reason


def test_windows_without_a_fresh_reading_are_skipped():
    before, after = np.ones(20), np.full(20, 0.5)
    before[:5] = after[:5] = np.nan
    verdict = judge(before, after, np.ones(20, bool), 0)
    assert verdict.outcome is SleepOutcome.ACCEPTED
    assert verdict.gain == pytest.approx(0.5)


def test_without_a_finite_loss_the_old_weights_stay():
    verdict = judge(np.full(8, np.nan), np.full(8, np.nan), np.ones(8, bool), 0)
    assert verdict.outcome is SleepOutcome.UNDECIDED


def test_losses_of_one_block_count_once():
    """Ten times the same losses are no more evidence than once, where their blocks say so."""
    generator = np.random.default_rng(0)
    before = generator.uniform(1, 2, 8)
    after = before * generator.uniform(0.6, 1.2, 8)
    once = paired_gain(before, after, 0)
    repeated = [np.repeat(each, 10) for each in (before, after, np.arange(8))]
    _, low, high = paired_gain(repeated[0], repeated[1], 0, repeated[2])
    assert (low, high) == pytest.approx(once[1:])
    _, narrow_low, narrow_high = paired_gain(repeated[0], repeated[1], 0)
    assert narrow_high - narrow_low < 0.5 * (high - low)


def test_cases_of_one_block_count_once():
    """As above, for differences and for the sign test."""
    generator = np.random.default_rng(0)
    before, after = generator.random(12) < 0.5, generator.random(12) < 0.5
    repeated = [np.repeat(each, 10) for each in (before, after, np.arange(12))]
    once = paired_difference(before.astype(float), after.astype(float), 0)
    many = paired_difference(repeated[0].astype(float), repeated[1].astype(float), 0, repeated[2])
    assert many == pytest.approx(once)
    assert chance_of_gain(*net_of_blocks(*repeated)) == chance_of_gain(before, after)
    lost, gained = net_of_blocks(np.array([1, 0, 0, 1]), np.array([0, 1, 1, 0]), np.array([7, 7, 7, 3]))
    assert (lost.tolist(), gained.tolist()) == ([True, False], [False, True])


def test_new_losses_of_few_blocks_are_judged_with_the_old_ones():
    before, is_new = np.ones(16), np.arange(16) < 8
    after = np.where(is_new, 0.5, 0.9)
    apart = judge(before, after, is_new, 0)
    assert apart.gain == pytest.approx(0.5)
    together = judge(before, after, is_new, 0, blocks=np.arange(16) // 4)
    assert together.gain == pytest.approx(0.3)


def test_the_chance_of_a_gain_is_that_of_the_exact_sign_test() -> None:
    before, after = np.zeros(20, bool), np.zeros(20, bool)
    assert chance_of_gain(before, after) == 1.0, "no pair differs"
    after[:5], before[5:7] = True, True
    assert chance_of_gain(before, after) == pytest.approx(29 / 128)  # 5, 6 or 7 of 7
    assert chance_of_gain(after, before) == pytest.approx(120 / 128)  # 2 or more of 7
    many = np.arange(3000) < 2000
    assert 0 < chance_of_gain(~many, many) < 1e-60


def test_the_chance_of_any_gain_of_one_group_is_that_of_its_gain() -> None:
    before, after = np.zeros(20, bool), np.arange(20) < 6
    same = np.ones(50, bool)
    alone = chance_of_gain(before, after)
    assert chance_of_any_gain([(before, after)], 0) == alone
    assert chance_of_any_gain([(before, after), (same, same)], 0) == alone, "a group where no pair differs"
    assert chance_of_any_gain([(same, same)], 0) == 1.0


def test_the_chance_of_any_gain_of_two_groups_pays_for_both_and_less_than_three_tests() -> None:
    before, after = np.zeros(100, bool), np.arange(100) < 12
    before[12:16] = True  # 12 gained, 4 lost
    index = np.arange(100)
    others = index < 10, (index >= 10) & (index < 20)  # 10 lost, 10 gained
    alone = chance_of_gain(before, after)
    both = chance_of_any_gain([(before, after), others], 0)
    assert 1.5 * alone < both < 3 * alone


def test_the_chance_of_any_gain_is_rarely_small_by_chance() -> None:
    """Of 2,000 sets of two groups without a difference, 5% have a chance of at most 5%, less for the steps
    of small numbers: here at most 121, which a rate of 5% exceeds once in 100.
    """
    generator = np.random.default_rng(0)
    small = 0
    for seed in range(2000):
        groups = []
        for num in (20, 30):
            gained = generator.random(num) < 0.5
            groups.append((~gained, gained))
        small += chance_of_any_gain(groups, seed) <= 0.05
    assert 40 <= small <= 121
