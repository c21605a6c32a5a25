"""The examination of a night: the same held-out experiences before and after it, by a paired bootstrap.

Invariant: a candidate that is not finite, or no better by the interval, is not accepted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import NormalDist

import numpy as np

from sage.runtime.report import NAN, LevelExamination, SleepOutcome

CONFIDENCE = 0.90
NUM_BOOTSTRAPS = 2000
NUM_DRAWS = 20_000  # of gains by chance; a probability of 1% is exact to 0.07 points
MIN_EXAMINED = 4  # fewer losses, or blocks of losses, give no usable interval
MAX_OLD_LOSS_RISE = 0.01
#: Of the steps of a night: more that are not finite, and it is rolled back.
MAX_REJECTED = 0.1
#: After these nights what was examined counts as old; a night that was undone moves no such mark.
SLEPT = (SleepOutcome.ACCEPTED, SleepOutcome.UNDECIDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The result of an examination; names as in SleepReport. levels: of puzzles."""

    outcome: SleepOutcome
    reason: str
    loss_before: float = NAN
    loss_after: float = NAN
    gain: float = NAN
    gain_low: float = NAN
    gain_high: float = NAN
    loss_old_before: float = NAN
    loss_old_after: float = NAN
    levels: tuple[LevelExamination, ...] = ()


def judge(
    before: np.ndarray,
    after: np.ndarray,
    is_new: np.ndarray,
    seed: int,
    *,
    is_whole: bool = False,
    blocks: np.ndarray | None = None,
) -> Verdict:
    """Accept if the gain on new experience is above 0 by paired bootstrap and the loss on old does not rise.

    before, after: (num_examined,) losses of the same experiences, NaN where there is none.  is_new: bool, of
    the same experiences.  is_whole: the gain is that on all of them, old and new.  blocks: (num_examined,) a
    number of the block of time of each; those of one block are not independent, and are resampled together.
    """
    blocks = np.arange(len(before)) if blocks is None else blocks
    usable = ~np.isnan(before)
    if not usable.any():
        return Verdict(
            outcome=SleepOutcome.UNDECIDED,
            reason="the model before the night has no finite loss to compare with",
        )
    if not np.isfinite(after[usable]).all():
        return Verdict(
            outcome=SleepOutcome.ROLLED_BACK,
            reason="the candidate is not finite",
            loss_before=mean_of(before),
        )
    # With few new blocks, old and new ones are judged together.
    new = usable & is_new if len(np.unique(blocks[usable & is_new])) >= MIN_EXAMINED else usable
    old = usable & ~new
    if is_whole:
        new = usable
    gain, low, high = paired_gain(before[new], after[new], seed, blocks[new])
    interval = f"gain {gain:+.1%}, {CONFIDENCE:.0%} interval {low:+.1%} to {high:+.1%}"
    old_before, old_after = mean_of(before[old]), mean_of(after[old])
    if old.any() and old_after > old_before * (1 + MAX_OLD_LOSS_RISE):
        outcome, reason = (
            SleepOutcome.ROLLED_BACK,
            f"worse on old experience; on {'all' if is_whole else 'new'} {interval}",
        )
    elif low > 0:
        outcome, reason = SleepOutcome.ACCEPTED, interval
    elif high < 0:
        outcome, reason = SleepOutcome.ROLLED_BACK, f"worse: {interval}"
    else:
        outcome, reason = SleepOutcome.UNDECIDED, f"not significantly different from 0: {interval}"
    return Verdict(
        outcome=outcome,
        reason=reason,
        loss_before=mean_of(before[new]),
        loss_after=mean_of(after[new]),
        gain=gain,
        gain_low=low,
        gain_high=high,
        loss_old_before=old_before,
        loss_old_after=old_after,
    )


def too_many_rejected(num_rejected: int, num_steps: int) -> str:
    """Why a night with so many steps that were not finite is rolled back, or ""."""
    if num_rejected <= MAX_REJECTED * num_steps:
        return ""
    return f"{num_rejected} of {num_steps} steps had a gradient that is not finite"


def paired_gain(
    before: np.ndarray, after: np.ndarray, seed: int, blocks: np.ndarray | None = None
) -> tuple[float, float, float]:
    """Relative gain 1 - after / before, and the bounds of its interval over resampled blocks, by default of
    one loss each.
    """
    _, block = np.unique(np.arange(len(before)) if blocks is None else blocks, return_inverse=True)
    of_before, of_after = np.bincount(block, before), np.bincount(block, after)
    generator = np.random.default_rng(seed)
    index = generator.integers(0, len(of_before), (NUM_BOOTSTRAPS, len(of_before)))
    sums_before, sums_after = of_before[index].sum(axis=1), of_after[index].sum(axis=1)
    low, high = _interval(1 - sums_after / np.maximum(sums_before, 1e-12), len(of_before))
    return float(1 - after.sum() / max(before.sum(), 1e-12)), low, high


def paired_difference(
    before: np.ndarray, after: np.ndarray, seed: int, blocks: np.ndarray | None = None
) -> tuple[float, float, float]:
    """Mean of after - before, and the bounds of its interval over resampled blocks, by default of one case
    each.
    """
    differences = after - before
    _, block = np.unique(np.arange(len(before)) if blocks is None else blocks, return_inverse=True)
    sums, counts = np.bincount(block, differences), np.bincount(block)
    index = np.random.default_rng(seed).integers(0, len(sums), (NUM_BOOTSTRAPS, len(sums)))
    low, high = _interval(sums[index].sum(axis=1) / counts[index].sum(axis=1), len(sums))
    return float(differences.mean()), low, high


def net_of_blocks(before: np.ndarray, after: np.ndarray, blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """before and after (M,) bool of the blocks, for a sign test: False, True where more cases of a block are
    gained than lost, True, False where more are lost, equal otherwise.

    before, after: (N,) bool of the same cases.  blocks (N,): cases of one block are not independent.
    """
    _, block = np.unique(blocks, return_inverse=True)
    net = np.bincount(block, after.astype(float) - before.astype(float))
    return net < 0, net > 0


def chance_of_gain(before: np.ndarray, after: np.ndarray) -> float:
    """Probability that at least so many of the differing pairs are gains where gains and losses are equally
    likely: the one-sided exact sign test (McNemar 1947, exact form). 1 where no pair differs.

    before, after: (N,) bool of the same cases.  Beside a bootstrap, whose interval of a few gains without a
    loss is above 0 by chance in one case in eight.
    """
    num_gained, num_lost = int((after & ~before).sum()), int((before & ~after).sum())
    return float(_chances_of_gains(num_gained + num_lost)[num_gained])


def chance_of_any_gain(groups: Sequence[tuple[np.ndarray, np.ndarray]], seed: int) -> float:
    """Probability that the smallest `chance_of_gain` of the groups and of all of them together is as small as
    here, where gains and losses are equally likely: one test of several that depend on each other (minP of
    Westfall & Young 1993, Resampling-Based Multiple Testing). Equals `chance_of_gain` of one group.

    groups: before and after of each, as in `chance_of_gain`.
    """
    pairs = [(int((after & ~before).sum()), int((before != after).sum())) for before, after in groups]
    gained, num = np.array([pair for pair in pairs if pair[1]], int).reshape(-1, 2).T
    chances = [_chances_of_gains(each) for each in (*num, num.sum())]
    found = min(chance[each] for chance, each in zip(chances, (*gained, gained.sum())))
    if len(num) < 2:
        return float(found)
    drawn = np.random.default_rng(seed).binomial(num, 0.5, (NUM_DRAWS, len(num)))
    drawn = np.column_stack([drawn, drawn.sum(axis=1)])
    smallest = np.min([chance[drawn[:, at]] for at, chance in enumerate(chances)], axis=0)
    return float((smallest <= found).mean())


def _chances_of_gains(num: int) -> np.ndarray:
    """(num + 1,): probability of at least 0, 1, ... num gains of `num` differing pairs."""
    num = int(num)  # Python's own: 2**num has any size
    at_most = accumulate(math.comb(num, each) for each in range(num + 1))  # ways to so many losses
    return np.array([ways / 2**num for ways in at_most])[::-1]


def _interval(resampled: np.ndarray, num: int) -> tuple[float, float]:
    """Bounds by resampled figures of `num` independent values; NaN for one, of which nothing follows."""
    if num < 2:
        return NAN, NAN
    low, high = np.quantile(resampled, _tails(num))
    return float(low), float(high)


def _tails(num: int) -> list[float]:
    """The lower and upper quantile of bootstrap means that bound the interval, of `num` independent values.

    Resampled means of few values vary too little: with plain quantiles the interval of 4 blocks is above 0 by
    chance in one night in seven, not in twenty. The expanded percentile interval (Hesterberg 2015, What
    Teachers Should Know About the Bootstrap) has the width of Student's t, whose quantile is that of
    Abramowitz and Stegun, 26.7.5.
    """
    normal, free = NormalDist(), num - 1
    z = normal.inv_cdf((1 + CONFIDENCE) / 2)
    student = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    student += (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * free**3)
    tail = normal.cdf(-student * math.sqrt(num / free))
    return [tail, 1 - tail]


def mean_of(values: np.ndarray) -> float:
    """The mean without NaN; NaN without a number."""
    usable = values[~np.isnan(values)]
    return float(usable.mean()) if len(usable) else NAN
