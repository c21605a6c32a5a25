"""One tick of trust in numbers, source by source: the only text of the trust formulas.

It runs compiled where numba is installed and as Python elsewhere, with the same results to rounding.
Invariant: a source without a fresh reading does not change. N sources, W readings in the stuck window; shapes
are (N,) unless noted.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls
# numba takes the types from the call; annotating twenty arrays would hide the arithmetic.
from __future__ import annotations

from typing import Any

import numpy as np

from sage.runtime.trust.rules import (
    CHI2_ROOT_MEAN,
    CHI2_ROOT_STD,
    LONG_RUN,
    LONGEST_FORGETTING,
    MAX_RUN,
    MIN_EXPLAINED,
    MIN_MOVES,
    MIN_NOISE_RATE,
    MIN_REJECTED,
    MIN_RUN,
    NOISE_FORGETTING,
    NOISE_WARMUP,
    NORMAL_LOW,
    REJECTED_FORGETTING,
    REJECTED_NIS,
    REJECTED_SHARE,
    REPEAT_FORGETTING,
    REPEAT_ODDS,
    RESTED_DOUBT,
    SHIFT_FORGETTING,
    SHIFT_RATE,
    SHIFT_TICKS,
)


def update(
    fresh, innovation_sq, level_sq, self_error_sq, is_repeat, own_doubt, is_tied, is_bad_here, rules, alpha,
    beta, scale_a, scale_b, moments, responsibility, is_explained, nis, self_moments, self_window, num_fresh,
    num_judged, run, longest_run, repeats, is_stuck, rejected, shift, doubt, verdict,
):  # fmt: skip
    """One tick's evidence for all sources; every array from `alpha` on is updated in place.

    The first seven as in Evidence.  is_bad_here (N,): by the record of this context; a change of the world
    does not explain its readings.  rules (5,): forgetting, prior_inlier, prior_outlier, prior_scale,
    outlier_ratio.  moments (4, N): running means of q^(1/3), q^(2/3), q (the squared innovation) and of the
    squared level.  self_moments (2, N): running mean and mean square of the self-prediction error.
    self_window (W, N): the last self-prediction errors.  rejected (N,): recent share of readings beyond the
    99% quantile.  shift (1,): ticks left of a change of the world.  doubt (N,): the last own_doubt.
    repeats (2, N): Beta counts of repeats and moves.  verdict (N,): how right this reading is, NaN unjudged.
    """
    num_moved = 0
    for source in range(len(fresh)):
        num_moved += fresh[source] and not is_repeat[source]
    shift[0] = SHIFT_TICKS if _is_shift(is_explained, is_stuck, rejected) else max(shift[0] - 1, 0)
    for source in range(len(fresh)):
        verdict[source] = np.nan
        if not fresh[source]:
            continue
        moved = not is_repeat[source]
        is_shift = shift[0] > 0 and not is_bad_here[source]
        num_fresh[source] += 1
        _count_run(source, moved, repeats, longest_run, run)
        is_flat = _is_flat(
            source, self_error_sq[source], is_stuck[source], self_moments, self_window, num_fresh
        )
        is_known = not np.isnan(own_doubt[source])
        doubt[source] = own_doubt[source] if is_known else 0.0
        if moved or (is_known and doubt[source] < RESTED_DOUBT):  # its own record has longer runs
            is_stuck[source] = False
        elif num_moved > 0 and num_fresh[source] > len(self_window):
            is_stuck[source] |= _is_frozen(source, is_flat, repeats, longest_run, run)
        square, level = innovation_sq[source], level_sq[source]
        prior = inlier_share(alpha[source], beta[source])
        scale = noise_scale(scale_a[source], scale_b[source])
        flags = (is_stuck[source], is_shift)
        rho = _responsibility(source, square, level, prior, scale, rules[4], flags, moments, num_judged, nis)
        _count_rejected(source, nis, rejected)
        # Only sources that the others predict can be contradicted by them: an unusual level is no evidence.
        is_explained[source] = (
            is_tied[source] and moments[2, source] < (1 - MIN_EXPLAINED) * moments[3, source]
        )
        is_compared = is_explained[source] and not np.isnan(nis[source]) and not is_shift
        if is_stuck[source]:
            verdict[source] = 0.0
        elif is_compared or is_known:
            verdict[source] = (1.0 - doubt[source]) * (_verdict(nis[source], rules) if is_compared else 1.0)
        if is_stuck[source] or (is_explained[source] and not np.isnan(nis[source])):
            rho = 0.0 if is_stuck[source] else rho
            if is_shift and not is_stuck[source]:
                _forget(source, rules, alpha, beta, scale_a, scale_b)
            else:
                _believe(source, rho, rules, alpha, beta, scale_a, scale_b, nis[source])
            responsibility[source] = rho
        elif is_known and doubt[source] < RESTED_DOUBT:
            _believe(source, 1.0, rules, alpha, beta, scale_a, scale_b, 1.0)


def _verdict(nis, rules):
    """Probability of an inlier under the prior alone: the source's own trust has no part in it."""
    log_odds = 0.5 * (nis * (1 - 1 / rules[4]) - np.log(rules[4]))
    return 1 / (1 + rules[2] / rules[1] * np.exp(min(max(log_odds, -50.0), 50.0)))


def _count_rejected(source, nis, rejected):
    """The recent share of judged readings beyond the 99% quantile."""
    if not np.isnan(nis[source]):
        is_beyond = 1.0 if nis[source] > REJECTED_NIS else 0.0
        rejected[source] = REJECTED_FORGETTING * rejected[source] + (1 - REJECTED_FORGETTING) * is_beyond


def _is_frozen(source, is_flat, repeats, longest_run, run):
    """Whether the current run of repeats is too long for this source."""
    if repeats[1, source] <= MIN_MOVES or run[source] <= MIN_RUN + LONG_RUN * longest_run[source]:
        return False
    rate = repeats[0, source] / (repeats[0, source] + repeats[1, source])
    return is_flat or rate ** run[source] < REPEAT_ODDS


def _is_shift(is_explained, is_stuck, rejected):
    """Whether the world has changed: most sources that the others explain contradict the prediction at once.

    Sources that lie contradict alone. COGNITION.md, Trust and fusion, 6: the prior is a source too.
    """
    num_explained, num_rejected = 0, 0
    for source in range(len(rejected)):
        if is_explained[source] and not is_stuck[source]:
            num_explained += 1
            num_rejected += rejected[source] > REJECTED_SHARE
    return num_rejected >= MIN_REJECTED and 2 * num_rejected > num_explained


def inlier_share(alpha: Any, beta: Any) -> Any:
    """Mean of the Beta distribution on "inlier"."""
    return alpha / (alpha + beta)


def noise_scale(scale_a: Any, scale_b: Any) -> Any:
    """How much larger a source's noise is than its own normal; at least 1."""
    return np.maximum(scale_b / scale_a, 1.0)


def lower_bound(alpha, beta, scale_a, scale_b, doubt, out):
    """out: (N,) 0..1, the Beta's mean minus one standard deviation, over the scale, times 1 - the doubt."""
    for source in range(len(out)):
        mean = inlier_share(alpha[source], beta[source])
        deviation = np.sqrt(mean * (1 - mean) / (alpha[source] + beta[source] + 1))
        scale = noise_scale(scale_a[source], scale_b[source])
        bound = (mean - deviation) / scale * (1 - doubt[source])
        out[source] = np.minimum(np.maximum(bound, 0.0), 1.0)


def _believe(source, rho, rules, alpha, beta, scale_a, scale_b, nis):
    """Beta on outliers and inverse gamma on scale, with forgetting towards the priors."""
    keep = rules[0]
    excess = 1.0 if np.isnan(nis) else min(nis, rules[4])
    alpha[source] = keep * alpha[source] + (1 - keep) * rules[1] + rho
    beta[source] = keep * beta[source] + (1 - keep) * rules[2] + 1 - rho
    scale_a[source] = keep * scale_a[source] + (1 - keep) * rules[3] + rho
    scale_b[source] = keep * scale_b[source] + (1 - keep) * rules[3] + rho * excess


def _forget(source, rules, alpha, beta, scale_a, scale_b):
    """Back towards the priors: what the others showed of a world that has changed is no evidence."""
    keep = SHIFT_FORGETTING
    alpha[source] = keep * alpha[source] + (1 - keep) * rules[1]
    beta[source] = keep * beta[source] + (1 - keep) * rules[2]
    scale_a[source] = keep * scale_a[source] + (1 - keep) * rules[3]
    scale_b[source] = keep * scale_b[source] + (1 - keep) * rules[3]


def _count_run(source, moved, repeats, longest_run, run):
    """Count runs of exact repeats. Only runs that ended are healthy: they enter the Beta and the longest."""
    longest_run[source] *= LONGEST_FORGETTING
    if moved:
        ended = min(run[source], MAX_RUN)
        repeats[0, source] = REPEAT_FORGETTING * repeats[0, source] + ended
        repeats[1, source] = REPEAT_FORGETTING * repeats[1, source] + 1.0
        longest_run[source] = max(ended, longest_run[source])
        run[source] = 0.0
    else:
        run[source] += 1.0


def _is_flat(source, error, was_stuck, self_moments, self_window, num_fresh):
    """True when the mean of the last self-prediction errors is below the 1% quantile of its chi-square.

    The degrees of freedom come from the spread of the errors (Satterthwaite 1946), so that a source that
    moves in bursts has few, and is not stuck between two bursts. Quantile: Wilson and Hilferty 1931.
    """
    if np.isnan(error):
        return False
    size = len(self_window)
    self_window[num_fresh[source] % size, source] = error
    if not was_stuck:
        step = max(1 - NOISE_FORGETTING, 1 / num_fresh[source])
        self_moments[0, source] += step * (error - self_moments[0, source])
        self_moments[1, source] += step * (error * error - self_moments[1, source])
    total = 0.0
    for row in range(size):
        total += self_window[row, source]
    if np.isnan(total):
        return False
    mean, square = self_moments[0, source], self_moments[1, source]
    relative_variance = max(square / max(mean * mean, 1e-300) - 1, 1e-6)
    h = 2 / (9 * (2 * size / relative_variance))
    return total / size / max(mean, 1e-300) < max(1 - h - NORMAL_LOW * np.sqrt(h), 0.0) ** 3


def _responsibility(source, square, level, prior, scale, outlier_ratio, flags, moments, num_judged, nis):
    """Probability that this reading is an inlier, 1 where it cannot be judged; updates `nis` and `moments`.

    The cube root of a chi-square is nearly Gaussian (Wilson and Hilferty 1931), so the place of a reading
    among its source's own cube roots gives a NIS that is chi-square with one degree of freedom for a normal
    source, in any dimension and with heavy tails.
    """
    is_stuck, is_shift = flags
    nis[source] = np.nan
    if np.isnan(square):
        return 1.0
    square = max(square, 0.0)
    root = np.cbrt(square)
    is_learning = num_judged[source] < NOISE_WARMUP  # outliers are defined once the normal size is known
    num_judged[source] += 1
    rho, rate = 1.0, 1 / num_judged[source]
    if not is_learning:
        mean = moments[0, source]
        deviation = np.sqrt(max(moments[1, source] - mean * mean, 1e-12))
        nis[source] = max(CHI2_ROOT_MEAN + CHI2_ROOT_STD * (root - mean) / deviation, 0.0) ** 3
        log_inlier = -0.5 * (nis[source] / scale + np.log(scale))
        log_outlier = -0.5 * (nis[source] / outlier_ratio + np.log(outlier_ratio))
        rho = 1 / (1 + (1 - prior) / prior * np.exp(min(max(log_outlier - log_inlier, -50.0), 50.0)))
        rate = 0.0 if is_stuck else (1 - NOISE_FORGETTING) * max(rho, MIN_NOISE_RATE)
        rate = SHIFT_RATE if is_shift and not is_stuck else rate
    if rate > 0.0:
        moments[0, source] += rate * (root - moments[0, source])
        moments[1, source] += rate * (root * root - moments[1, source])
        moments[2, source] += rate * (square - moments[2, source])
        moments[3, source] += rate * (level - moments[3, source])
    return rho


#: What `update` calls, for numba.
STEPS = (
    inlier_share,
    noise_scale,
    _believe,
    _forget,
    _verdict,
    _count_run,
    _count_rejected,
    _is_flat,
    _is_frozen,
    _is_shift,
    _responsibility,
)
