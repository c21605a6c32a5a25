"""The trust estimator's arithmetic for one source after another, compiled. What it means is told in `trust`.

Invariant: the same as `trust` to rounding. A source without a fresh reading is left alone.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls
# numba takes the types from the call; naming them for twenty arrays would hide the arithmetic.
from __future__ import annotations

import numpy as np

from sage.compiled import kernel
from sage.runtime.trust.estimator import (
    CHI2_ROOT_MEAN,
    CHI2_ROOT_STD,
    LONG_RUN,
    LONGEST_FORGETTING,
    MAX_RUN,
    MIN_EXPLAINED,
    MIN_MOVES,
    MIN_NOISE_RATE,
    MIN_RUN,
    NOISE_FORGETTING,
    NOISE_WARMUP,
    REPEAT_ODDS,
)


@kernel
def update(
    fresh,
    innovation_sq,
    level_sq,
    self_error_sq,
    is_repeat,
    rules,
    alpha,
    beta,
    scale_a,
    scale_b,
    moments,
    responsibility,
    is_explained,
    nis,
    self_moments,
    self_window,
    num_fresh,
    num_judged,
    run,
    longest_run,
    repeats,
    is_stuck,
):
    """rules: forgetting, prior_inlier, prior_outlier, prior_scale, outlier_ratio."""
    num_moved = 0
    for source in range(len(fresh)):
        num_moved += fresh[source] and not is_repeat[source]
    for source in range(len(fresh)):
        if not fresh[source]:
            continue
        moved = not is_repeat[source]
        num_fresh[source] += 1
        _count_run(source, moved, repeats, longest_run, run)
        is_flat = _is_flat(
            source, self_error_sq[source], is_stuck[source], self_moments, self_window, num_fresh
        )
        if moved:
            is_stuck[source] = False
        elif num_moved > 0 and num_fresh[source] > len(self_window) and repeats[1, source] > MIN_MOVES:
            rate = repeats[0, source] / (repeats[0, source] + repeats[1, source])
            is_long = run[source] > MIN_RUN + LONG_RUN * longest_run[source]
            is_stuck[source] |= is_long and (is_flat or rate ** run[source] < REPEAT_ODDS)
        prior, scale = (
            alpha[source] / (alpha[source] + beta[source]),
            max(scale_b[source] / scale_a[source], 1.0),
        )
        rho = _responsibility(
            source,
            innovation_sq[source],
            level_sq[source],
            prior,
            scale,
            rules[4],
            is_stuck[source],
            moments,
            num_judged,
            nis,
        )
        is_explained[source] = moments[2, source] < (1 - MIN_EXPLAINED) * moments[3, source]
        if is_stuck[source] or (is_explained[source] and not np.isnan(nis[source])):
            rho = 0.0 if is_stuck[source] else rho
            _believe(source, rho, rules, alpha, beta, scale_a, scale_b, nis)
            responsibility[source] = rho


@kernel
def _believe(source, rho, rules, alpha, beta, scale_a, scale_b, nis):
    keep = rules[0]
    excess = 1.0 if np.isnan(nis[source]) else min(nis[source], rules[4])
    alpha[source] = keep * alpha[source] + (1 - keep) * rules[1] + rho
    beta[source] = keep * beta[source] + (1 - keep) * rules[2] + 1 - rho
    scale_a[source] = keep * scale_a[source] + (1 - keep) * rules[3] + rho
    scale_b[source] = keep * scale_b[source] + (1 - keep) * rules[3] + rho * excess


@kernel
def _count_run(source, moved, repeats, longest_run, run):
    """Runs of exact repeats: only one that ended was a healthy one."""
    longest_run[source] *= LONGEST_FORGETTING
    if moved:
        ended = min(run[source], MAX_RUN)
        repeats[0, source] = 0.999 * repeats[0, source] + ended
        repeats[1, source] = 0.999 * repeats[1, source] + 1.0
        longest_run[source] = max(ended, longest_run[source])
        run[source] = 0.0
    else:
        run[source] += 1.0


@kernel
def _is_flat(source, error, was_stuck, self_moments, self_window, num_fresh):
    """Do the last self-prediction errors fall below their own chi-square 1% bound?"""
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
    return total / size / max(mean, 1e-300) < max(1 - h - 2.3263 * np.sqrt(h), 0.0) ** 3


@kernel
def _responsibility(source, square, level, prior, scale, outlier_ratio, is_stuck, moments, num_judged, nis):
    """Of "inlier" for this reading, and the running normal it is judged against; 1 where it cannot be
    judged.
    """
    nis[source] = np.nan
    if np.isnan(square):
        return 1.0
    square = max(square, 0.0)
    root = np.cbrt(square)
    is_learning = (
        num_judged[source] < NOISE_WARMUP
    )  # a normal must be known before anything can depart from it
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
    if rate > 0.0:
        moments[0, source] += rate * (root - moments[0, source])
        moments[1, source] += rate * (root * root - moments[1, source])
        moments[2, source] += rate * (square - moments[2, source])
        moments[3, source] += rate * (level - moments[3, source])
    return rho
