"""One update of robust fusion, batched over N sources: the only text of its formulas.

It runs compiled where numba is installed and as NumPy elsewhere, with the same results to rounding. Readings
are in units of their claimed noise, so that R = 1. M numbers a source, D numbers of state; shapes are (N,)
unless noted.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls
# numba takes the types from the call; annotating the arrays would hide the arithmetic.
from __future__ import annotations

import numpy as np

NUM_ROUNDS = 3
ANCHOR_FORGETTING = 0.97  # of the difference from the median
MIN_ANCHORED = 4  # sources of one quantity, so that a median is more than one of them
MEDIAN_VARIANCE = 1.5 * np.pi / 2  # of the median over that of the mean, with a margin
MAX_LOG_ODDS = 700.0
MIN_LIKELIHOOD = 1e-300  # relative to the more probable of inlier and outlier


def fuse(state, cov, residual, rows, pad, present, kin, num_kin, gate, rules, evidence, floor, judged):
    """Fuse one set of readings into `state` (D,) and `cov` (D, D), and learn from it; both change in place.

    residual: (M, N) reading minus prediction.  rows: (M, N, D) measurement matrix.  pad: numbers that are
    ignored.  kin: index of the lineage that a source shares, or -1.  gate: 99% quantile of each source's
    normalised innovation squared.  rules: (6,) forgetting, prior_inlier, prior_outlier, prior_scale,
    outlier_ratio, hard gate (0: none).  evidence: (4, N) alpha, beta, a, b.  floor: least scale.
    judged: (4, N) receives rho, the normalised innovation squared (of the prediction from the prior and the
    others), the log likelihood under the prior, and whether the prior is rejected.
    """
    num_rows, num = residual.shape
    flat = rows.reshape(num_rows * num, len(state))
    turned = flat.T.copy()
    flat_residual = residual.reshape(num_rows * num)
    share = evidence[0] / (evidence[0] + evidence[1])
    scale = np.maximum(np.maximum(evidence[3] / evidence[2], 1.0), floor)
    _judge_prior(residual, flat, rows, cov, pad, present, share, scale, gate, rules, judged)
    prior = np.linalg.inv(cov)
    rho = share
    for _ in range(NUM_ROUNDS):
        weight = np.where(present, rho / scale, 0.0)
        weight, used = _weights(weight, rows, kin, num_kin, num_rows)
        posterior = np.linalg.inv(prior + (turned * used).dot(flat))
        moved = posterior.dot(turned.dot(used * flat_residual))
        own, spread = _leave_one_out(residual, flat, rows, posterior, moved, weight)
        if num_kin > 0:
            _leave_kin_out(own, spread, residual, flat, turned, rows, prior, used, kin, num_kin)
        square, log_in, log_out = _likelihoods(own, spread, scale, rules[4], pad)
        if rules[5] > 0:
            rho = np.where(square <= rules[5], 1.0, 0.0)
        else:
            odds = np.minimum(np.maximum(log_out - log_in, -MAX_LOG_ODDS), MAX_LOG_ODDS)
            rho = share / (share + (1.0 - share) * np.exp(odds))
    weight, used = _weights(np.where(present, rho / scale, 0.0), rows, kin, num_kin, num_rows)
    cov[:] = np.linalg.inv(prior + (turned * used).dot(flat))
    cov[:] = (cov + cov.T) / 2
    state += cov.dot(turned.dot(used * flat_residual))
    judged[0] = np.where(present, rho, judged[0])
    judged[1] = np.where(present, square, judged[1])
    _learn(own, spread, rho, pad, present, rules, evidence)


def _weights(weight, rows, kin, num_kin, num_rows):
    """Precision of each source in units of its claim, and the same for each number (M N,).

    Sources of one lineage share theirs: fast covariance intersection, shares of the trace of the information
    (Niehsen 2002).
    """
    if num_kin > 0:
        information = weight * (rows**2).sum(axis=2).sum(axis=0)
        for group in range(num_kin):
            is_kin = kin == group
            total = information[is_kin].sum()
            if total > 0:
                weight = np.where(is_kin, weight * information / total, weight)
    used = np.empty((num_rows, len(weight)))
    used[:] = weight
    return weight, used.reshape(num_rows * len(weight))


def _leave_one_out(residual, flat, rows, posterior, moved, weight):
    """(M, N) innovation of each source from the prior and the others, and its covariance (M, M, N) without
    the source's own noise: one batched down-date.
    """
    num_rows, num = residual.shape
    own = residual - flat.dot(moved).reshape(num_rows, num)
    spread = _spread(flat, rows, posterior)
    system = -weight * spread
    known = np.empty((num_rows, num_rows + 1, num))
    for row in range(num_rows):
        system[row, row] += 1.0
        known[row, 0] = own[row]
        known[row, 1:] = spread[row]
    _eliminate(system, known)
    for row in range(num_rows - 1, -1, -1):
        for column in range(row + 1, num_rows):
            known[row] -= system[row, column] * known[column]
        known[row] /= system[row, row]
    return known[:, 0].copy(), known[:, 1:].copy()


def _leave_kin_out(own, spread, residual, flat, turned, rows, prior, used, kin, num_kin):
    """The same for sources of one lineage, from those outside it: kin do not confirm each other."""
    num_rows, num = residual.shape
    flat_residual = residual.reshape(num_rows * num)
    is_kin = np.empty((num_rows, num))
    for group in range(num_kin):
        is_kin[:] = np.where(kin == group, 1.0, 0.0)
        others = used * (1.0 - is_kin.reshape(num_rows * num))
        posterior = np.linalg.inv(prior + (turned * others).dot(flat))
        moved = posterior.dot(turned.dot(others * flat_residual))
        group_own = residual - flat.dot(moved).reshape(num_rows, num)
        group_spread = _spread(flat, rows, posterior)
        for row in range(num_rows):
            own[row] = np.where(is_kin[0] > 0, group_own[row], own[row])
            for column in range(num_rows):
                spread[row, column] = np.where(is_kin[0] > 0, group_spread[row, column], spread[row, column])


def _spread(flat, rows, cov):
    """(M, M, N) H cov H' of each source."""
    num_rows, num, size = rows.shape
    projected = flat.dot(cov).reshape(num_rows, num, size)
    spread = np.empty((num_rows, num_rows, num))
    for row in range(num_rows):
        for column in range(row + 1):
            spread[row, column] = (projected[row] * rows[column]).sum(axis=1)
            spread[column, row] = spread[row, column]
    return spread


def _eliminate(system, known):
    """Gaussian elimination below the diagonal of positive definite systems (M, M, N), in place."""
    num_rows = len(system)
    for pivot in range(num_rows):
        for row in range(pivot + 1, num_rows):
            factor = system[row, pivot] / system[pivot, pivot]
            system[row, pivot:] -= factor * system[pivot, pivot:]
            known[row] -= factor * known[pivot]


def _likelihoods(own, spread, scale, ratio, pad):
    """Of `own` (M, N): its normalised square and Gaussian log density with covariance spread + scale, and the
    log density with spread + ratio; up to 2 pi.
    """
    wide = np.full(len(scale), ratio)
    if len(own) == 2:
        trace = spread[0, 0] + spread[1, 1]
        det = spread[0, 0] * spread[1, 1] - spread[0, 1] ** 2
        length = own[0] ** 2 + own[1] ** 2
        cross = own[0] ** 2 * spread[1, 1] + own[1] ** 2 * spread[0, 0]
        cross = cross - 2.0 * own[0] * own[1] * spread[0, 1]
        det_in = det + scale * (trace + scale)
        det_out = det + ratio * (trace + ratio)
        square = (cross + scale * length) / det_in
        log_in = square + np.log(det_in)
        log_out = (cross + ratio * length) / det_out + np.log(det_out)
    else:
        square, log_in = _gaussian(own, spread, scale)
        log_out = _gaussian(own, spread, wide)[1]
    return square, -0.5 * (log_in - pad * np.log(scale)), -0.5 * (log_out - pad * np.log(wide))


def _gaussian(own, spread, variance):
    """Normalised square of `own` (M, N) with covariance spread + variance, and that plus log determinant."""
    num_rows, num = own.shape
    system = spread.copy()
    known = own.copy().reshape(num_rows, 1, num)
    for row in range(num_rows):
        system[row, row] += variance
    _eliminate(system, known)
    square = known[0, 0] ** 2 / system[0, 0]
    whole = square + np.log(system[0, 0])
    for row in range(1, num_rows):
        part = known[row, 0] ** 2 / system[row, row]
        square = square + part
        whole = whole + part + np.log(system[row, row])
    return square, whole


def _judge_prior(residual, flat, rows, cov, pad, present, share, scale, gate, rules, judged):
    """Log likelihood of each reading under the prior, and whether it is beyond the 99% quantile."""
    spread = _spread(flat, rows, cov)
    square, log_in, log_out = _likelihoods(residual, spread, scale, rules[4], pad)
    top = np.maximum(log_in, log_out)
    mixed = share * np.exp(log_in - top) + (1.0 - share) * np.exp(log_out - top)
    likelihood = np.log(np.maximum(mixed, MIN_LIKELIHOOD)) + top
    judged[2] = np.where(present, likelihood, 0.0)
    judged[3] = np.where(present, np.where(square > gate, 1.0, 0.0), judged[3])


def _learn(own, spread, rho, pad, present, rules, evidence):
    """Beta on outliers and inverse gamma on scale, with forgetting towards the priors."""
    num_rows = len(own)
    excess = (own**2).sum(axis=0)
    for row in range(num_rows):
        excess = excess - spread[row, row]
    half = rho * (num_rows - pad) / 2.0
    gained = (rho, 1.0 - rho, half, rho / 2.0 * np.maximum(excess, 0.0))
    priors = (rules[1], rules[2], rules[3], rules[3])
    for row in range(4):
        learned = rules[0] * evidence[row] + (1.0 - rules[0]) * priors[row] + gained[row]
        evidence[row] = np.where(present, learned, evidence[row])


def anchor(residual, variance, present, members, limit, mean, floor):
    """Least scales of the sources `members` of one quantity, from their lasting difference from the median.

    residual: (M, N) in the quantity's units.  variance: as claimed.  limit: of one difference, in claimed
    standard deviations.  mean: (M, N) running differences; it and `floor` change in place.
    """
    chosen = members[present[members]]
    if len(chosen) < MIN_ANCHORED:
        return
    num_rows, rate = len(residual), 1.0 - ANCHOR_FORGETTING
    square = np.zeros(len(chosen))
    for row in range(num_rows):
        values = residual[row][chosen]
        middle = np.median(values)
        for index in range(len(chosen)):
            source = chosen[index]
            largest = limit * np.sqrt(variance[source])
            difference = min(max(values[index] - middle, -largest), largest)
            mean[row, source] += rate * (difference - mean[row, source])
            square[index] += mean[row, source] ** 2
    claimed = variance[chosen]
    usual = claimed + MEDIAN_VARIANCE / (1.0 / claimed).sum()
    expected = 2.0 * usual * rate / (1.0 + ANCHOR_FORGETTING)
    biased = np.maximum(square / num_rows - expected, 0.0)
    floor[chosen] = 1.0 + 2.0 * biased / claimed


#: What `fuse` calls, for numba.
STEPS = (
    _eliminate,
    _gaussian,
    _likelihoods,
    _spread,
    _weights,
    _leave_one_out,
    _leave_kin_out,
    _judge_prior,
    _learn,
)
