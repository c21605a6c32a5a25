"""How far each source can be relied on: evidence with forgetting, two-sided (COGNITION.md, Trust and fusion).

Three things count against a source: readings that the other sources make improbable (a Beta on outliers
and an inverse gamma on scale, both fed by leave-one-out innovations judged against their own learned
noise), and readings that stopped carrying news while others still move ("stuck": a frozen sensor is
perfectly predictable to itself). An unpredictable source is not an unreliable one.
All N sources in one vectorised step. Invariant: a source without evidence keeps its prior, never a flattering
1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sage.compiled import has_compiler
from sage.runtime.config import TrustConfig

CHI2_ROOT_MEAN, CHI2_ROOT_STD = (
    7 / 9,
    (2 / 9) ** 0.5,
)  # of the cube root of chi-square with one degree of freedom
MAX_RUN = 200.0
MIN_RUN, LONG_RUN, LONGEST_FORGETTING = 4.0, 3.0, 0.9995
MIN_MOVES = 8.0  # what never moved may be idle
REPEAT_ODDS = 1e-3  # a run of exact repeats less likely than this is evidence of "stuck"
NOISE_FORGETTING = 0.995
NOISE_WARMUP = 48
MIN_EXPLAINED = (
    0.5  # share of a source's variance that the others must explain before they can testify against it
)
MIN_NOISE_RATE = 0.02  # a changed world must be believed in the end: distrusted readings still teach a little


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One tick's evidence; all (N,).

    fresh: a new reading came.  innovation_sq: mean squared leave-one-out innovation per channel,
    standardised; NaN where undefined.  level_sq: mean squared reading per channel, standardised.
    self_error_sq: mean squared error of the source's own prediction; NaN where undefined.  is_repeat: the
    reading equals the one before, to the bit, and not because it is at the end of its range.
    """

    fresh: np.ndarray
    innovation_sq: np.ndarray
    level_sq: np.ndarray
    self_error_sq: np.ndarray
    is_repeat: np.ndarray

    @classmethod
    def nothing(cls, num_sources: int) -> Evidence:
        """Of a tick in which nobody spoke."""
        nobody, unknown = np.zeros(num_sources, dtype=bool), np.full(num_sources, np.nan)
        return cls(
            fresh=nobody, innovation_sq=unknown, level_sq=unknown, self_error_sq=unknown, is_repeat=nobody
        )


class TrustEstimator:
    """Reliability of N sources. `trust` is a lower confidence bound in 0..1; it takes effect next tick.

    is_compiled: None takes what this machine has.
    """

    def __init__(self, num_sources: int, config: TrustConfig, *, is_compiled: bool | None = None) -> None:
        self._config = config
        n = num_sources
        self.alpha = np.full(n, config.prior_inlier)
        self.beta = np.full(n, config.prior_outlier)
        self.scale_a = np.full(n, config.prior_scale)
        self.scale_b = np.full(n, config.prior_scale)
        self._moments = np.zeros(
            (4, n)
        )  # running means of q^(1/3), q^(2/3), q (the squared innovation) and the squared level
        self.responsibility = np.ones(n)
        self._is_explained = np.zeros(n, dtype=bool)
        self.nis = np.full(n, np.nan)  # innovation against that noise: 1 is normal
        self._self_moments = np.zeros((2, n))  # running mean and mean square of the self-prediction errors
        self._self_window = np.full((config.stuck_window, n), np.nan)
        self._num_fresh = np.zeros(n, dtype=np.int64)
        self._num_judged = np.zeros(n, dtype=np.int64)
        self._run = np.zeros(n)
        self._longest_run = np.zeros(n)
        self._repeats = np.full((2, n), [[1.0], [3.0]])  # Beta(1, 3) on "a healthy reading repeats"
        self.is_stuck = np.zeros(n, dtype=bool)
        self._rules = np.array(
            [
                config.forgetting,
                config.prior_inlier,
                config.prior_outlier,
                config.prior_scale,
                config.outlier_ratio,
            ]
        )
        self._kernel = _kernel() if (has_compiler() if is_compiled is None else is_compiled) else None
        if self._kernel is not None:  # compiled here (or read from the disk), not in the first tick
            self.update(Evidence.nothing(n))

    def update(self, evidence: Evidence) -> None:
        """One tick's evidence for all sources; sources without a fresh reading are left alone."""
        if self._kernel is not None:
            given = (np.ascontiguousarray(getattr(evidence, name)) for name in Evidence.__slots__)
            self._kernel(*given, self._rules, *(getattr(self, name) for name in _UPDATED))
            return
        self._judge_news(evidence)
        rho = self._judge_innovation(evidence)
        rho = np.where(self.is_stuck, 0.0, rho)
        # Whom the others cannot explain they cannot contradict: an unusual level of its own is no evidence.
        has = evidence.fresh & ((~np.isnan(self.nis) & self._is_explained) | self.is_stuck)
        config, keep = self._config, self._config.forgetting
        self.alpha = np.where(has, keep * self.alpha + (1 - keep) * config.prior_inlier + rho, self.alpha)
        self.beta = np.where(has, keep * self.beta + (1 - keep) * config.prior_outlier + 1 - rho, self.beta)
        excess = np.where(np.isnan(self.nis), 1.0, np.minimum(self.nis, config.outlier_ratio))
        self.scale_a = np.where(
            has, keep * self.scale_a + (1 - keep) * config.prior_scale + rho, self.scale_a
        )
        self.scale_b = np.where(
            has, keep * self.scale_b + (1 - keep) * config.prior_scale + rho * excess, self.scale_b
        )
        self.responsibility = np.where(has, rho, self.responsibility)

    @property
    def scale(self) -> np.ndarray:
        """(N,) how much larger a source's noise is than its own normal; at least 1."""
        scale: np.ndarray = np.maximum(self.scale_b / self.scale_a, 1.0)
        return scale

    @property
    def trust(self) -> np.ndarray:
        """(N,) the Beta's mean less one standard deviation, over the scale."""
        total = self.alpha + self.beta
        mean = self.alpha / total
        bound = mean - np.sqrt(mean * (1 - mean) / (total + 1))
        trust: np.ndarray = np.clip(bound / self.scale, 0.0, 1.0)
        return trust

    def _judge_innovation(self, evidence: Evidence) -> np.ndarray:
        """(N,) responsibility of "inlier" for each reading, and the running normal it is judged against.

        The cube root of a chi-square is nearly Gaussian (Wilson and Hilferty 1931), so a reading's place
        among its source's own cube roots gives a NIS that is chi-square with one degree of freedom when the
        source is as usual, whatever its dimension and however heavy its tails.
        """
        has = evidence.fresh & ~np.isnan(evidence.innovation_sq)
        square = np.where(has, np.maximum(evidence.innovation_sq, 0.0), 0.0)
        moments = np.stack([np.cbrt(square), np.cbrt(square) ** 2, square, evidence.level_sq])
        is_learning = has & (
            self._num_judged < NOISE_WARMUP
        )  # a normal must be known before anything can depart from it
        self._num_judged += has
        has &= ~is_learning
        mean, mean_square = self._moments[:2]
        deviation = np.sqrt(np.maximum(mean_square - mean**2, 1e-12))
        nis = np.maximum(CHI2_ROOT_MEAN + CHI2_ROOT_STD * (moments[0] - mean) / deviation, 0.0) ** 3
        self.nis = np.where(has, nis, np.where(evidence.fresh, np.nan, self.nis))
        scale, prior = self.scale, self.alpha / (self.alpha + self.beta)
        log_inlier = -0.5 * (nis / scale + np.log(scale))
        log_outlier = -0.5 * (nis / self._config.outlier_ratio + np.log(self._config.outlier_ratio))
        rho = np.where(
            has, 1 / (1 + (1 - prior) / prior * np.exp(np.clip(log_outlier - log_inlier, -50, 50))), 1.0
        )
        rate = (1 - NOISE_FORGETTING) * np.maximum(rho, MIN_NOISE_RATE)
        rate = np.where(
            is_learning, 1 / np.maximum(self._num_judged, 1), np.where(has & ~self.is_stuck, rate, 0.0)
        )
        self._moments += rate * (moments - self._moments)
        self._is_explained = self._moments[2] < (1 - MIN_EXPLAINED) * self._moments[3]
        return rho

    @property
    def noise(self) -> np.ndarray:
        """(N,) each source's normal mean squared innovation, 0 while unknown."""
        return np.where(self._num_judged >= NOISE_WARMUP, self._moments[2], 0.0)

    def _judge_news(self, evidence: Evidence) -> None:
        """Has a source stopped carrying news while others still move?

        Two signs: a run of exact repeats that is improbable for this source, and self-prediction errors too
        small for it. Both know how the source is when healthy: a counter may stand still for minutes.
        """
        fresh, moved = evidence.fresh, evidence.fresh & ~evidence.is_repeat
        self._num_fresh += fresh
        ended = np.where(
            moved, np.minimum(self._run, MAX_RUN), 0.0
        )  # only a run that ended was a healthy one
        self._repeats = np.where(moved, 0.999 * self._repeats, self._repeats)
        self._longest_run = np.maximum(
            ended, np.where(fresh, LONGEST_FORGETTING * self._longest_run, self._longest_run)
        )
        self._repeats[0] += ended
        self._repeats[1] += moved
        self._run = np.where(fresh, np.where(evidence.is_repeat, self._run + 1, 0.0), self._run)
        rate = self._repeats[0] / self._repeats.sum(axis=0)
        is_flat = self._is_too_predictable(evidence) & (self._run > 0)
        others_move = np.count_nonzero(moved) - moved.astype(int) > 0
        is_known = (self._num_fresh > self._config.stuck_window) & (self._repeats[1] > MIN_MOVES)
        is_long = self._run > MIN_RUN + LONG_RUN * self._longest_run  # idle readings come in bunches
        stuck_now = ((rate**self._run < REPEAT_ODDS) | is_flat) & is_long & others_move & is_known
        self.is_stuck = np.where(moved, False, self.is_stuck | (fresh & stuck_now))

    def _is_too_predictable(self, evidence: Evidence) -> np.ndarray:
        """(N,) do the last self-prediction errors fall below their own chi-square 1% bound?

        Degrees of freedom come from the errors' own spread (Satterthwaite): a source that moves in bursts has
        few, and is not called stuck between two of them.
        """
        has = evidence.fresh & ~np.isnan(evidence.self_error_sq)
        size, column = len(self._self_window), np.flatnonzero(has)
        self._self_window[self._num_fresh[column] % size, column] = evidence.self_error_sq[column]
        error = np.where(has, evidence.self_error_sq, 0.0)
        step = np.where(
            has & ~self.is_stuck, np.maximum(1 - NOISE_FORGETTING, 1 / np.maximum(self._num_fresh, 1)), 0.0
        )
        self._self_moments += step * (np.stack([error, error**2]) - self._self_moments)
        mean, square = self._self_moments
        relative_variance = np.maximum(square / np.maximum(mean**2, 1e-300) - 1, 1e-6)
        ratio = np.nan_to_num(self._self_window.mean(axis=0), nan=np.inf) / np.maximum(mean, 1e-300)
        is_flat: np.ndarray = has & (ratio < _chi2_low(2 * size / relative_variance))
        return is_flat

    def state(self) -> dict[str, np.ndarray]:
        """What a snapshot keeps."""
        return {name: np.asarray(getattr(self, name)).copy() for name in _STATE}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        for name in _STATE:
            setattr(self, name, state[name].copy())


_STATE = (
    "alpha",
    "beta",
    "scale_a",
    "scale_b",
    "_moments",
    "_num_judged",
    "_repeats",
    "_longest_run",
    "_self_moments",
)
_UPDATED = (
    "alpha",
    "beta",
    "scale_a",
    "scale_b",
    "_moments",
    "responsibility",
    "_is_explained",
    "nis",
    "_self_moments",
    "_self_window",
    "_num_fresh",
    "_num_judged",
    "_run",
    "_longest_run",
    "_repeats",
    "is_stuck",
)


def _kernel() -> Callable[..., None]:
    from sage.runtime.trust import kernel as trust_kernel

    update: Callable[..., None] = trust_kernel.update
    return update


def _chi2_low(dof: np.ndarray) -> np.ndarray:
    """1% quantile of chi-square over its degrees of freedom (Wilson and Hilferty 1931); 0 where they are too
    few to tell.
    """
    h = 2 / (9 * dof)
    low: np.ndarray = np.maximum(1 - h - 2.3263 * np.sqrt(h), 0.0) ** 3
    return low


def token_weights(
    trust: np.ndarray, recency: np.ndarray, quality: np.ndarray, usable: np.ndarray
) -> np.ndarray:
    """(N,) softmax in log space of trust x recency x quality over the `usable` sources; all 0 when none
    is.
    """
    with np.errstate(divide="ignore"):
        log_weight = np.log(trust) + np.log(recency) + np.log(quality)
    log_weight = np.where(usable, log_weight, -np.inf)
    top = log_weight.max(initial=-np.inf)
    if not np.isfinite(top):
        return np.zeros_like(trust)
    weight: np.ndarray = np.exp(log_weight - top)
    weight /= weight.sum()
    return weight
