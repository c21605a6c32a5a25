"""Reliability of each source: evidence with forgetting, for and against (COGNITION.md, Trust and fusion).

Three things count against a source: readings that the other sources make improbable (a Beta distribution on
outliers and an inverse gamma on scale, both from leave-one-out innovations relative to their own learned
noise), readings without news while other sources still move ("stuck": a frozen sensor predicts itself
perfectly), and readings beyond the source's own record, for as long as they are (`own_record`). An
unpredictable source is not an unreliable one. Invariant: a source without evidence keeps its
prior.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from sage.compiled import has_compiler, kernel
from sage.runtime.config import TrustConfig
from sage.runtime.trust import steps
from sage.runtime.trust.by_context import log_odds_between, moved_beta, moved_scale
from sage.runtime.trust.contract import Evidence
from sage.runtime.trust.rules import BAD_RECORD, CONTEXT_RELIEF, NOISE_WARMUP

#: What `steps.update` changes, in the order of its arguments.
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
    "_rejected",
    "_shift",
    "doubt",
    "verdict",
)
STATE = (
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


class TrustEstimator:
    """A TrustForm. `trust` is a lower confidence bound in 0..1.

    is_compiled: None uses numba where it is installed.
    """

    def __init__(self, num_sources: int, config: TrustConfig, *, is_compiled: bool | None = None) -> None:
        n = num_sources
        self.alpha = np.full(n, config.prior_inlier)
        self.beta = np.full(n, config.prior_outlier)
        self.scale_a = np.full(n, config.prior_scale)
        self.scale_b = np.full(n, config.prior_scale)
        self.responsibility = np.ones(n)
        self.nis = np.full(n, np.nan)
        self.is_stuck = np.zeros(n, dtype=bool)
        self._is_explained = np.zeros(n, dtype=bool)
        self._moments = np.zeros((4, n))
        self._self_moments = np.zeros((2, n))
        self._self_window = np.full((config.stuck_window, n), np.nan)
        self._num_fresh = np.zeros(n, dtype=np.int64)
        self._num_judged = np.zeros(n, dtype=np.int64)
        self._run = np.zeros(n)
        self._longest_run = np.zeros(n)
        self._rejected = np.zeros(n)
        self._shift = np.zeros(1, dtype=np.int64)
        self.doubt = np.zeros(n)
        self.verdict = np.full(n, np.nan)
        # Share of its own doubt that a source keeps for so many readings after a change of context.
        self._doubt_kept, self._num_relieved = np.ones(n), np.zeros(n, dtype=np.int64)
        self._is_bad_here = np.zeros(n, dtype=bool)
        self._untested, self._all_tied = np.full(n, np.nan), np.ones(n, dtype=bool)
        self._repeats = np.full((2, n), [[1.0], [3.0]])  # Beta(1, 3) on "a healthy reading repeats"
        self._rules = np.array(
            [
                config.forgetting,
                config.prior_inlier,
                config.prior_outlier,
                config.prior_scale,
                config.outlier_ratio,
            ]
        )
        self._step: Callable[..., None] = steps.update
        self._bound: Callable[..., None] = steps.lower_bound
        if has_compiler() if is_compiled is None else is_compiled:
            self._step, self._bound = _compiled()
            self.update(Evidence.nothing(n))  # compiles now, not in the first tick
            _ = self.trust

    def update(self, evidence: Evidence) -> None:
        """Learn from one tick's evidence; sources without a fresh reading do not change."""
        own = self._untested if evidence.own_doubt is None else self._relieved(evidence)
        tied = self._all_tied if evidence.is_tied is None else evidence.is_tied
        others = (evidence.fresh, evidence.innovation_sq, evidence.level_sq)
        given = (*others, evidence.self_error_sq, evidence.is_repeat, own, tied, self._is_bad_here)
        self._step(
            *(np.ascontiguousarray(each) for each in given),
            self._rules,
            *(getattr(self, name) for name in _UPDATED),
        )

    @property
    def share(self) -> np.ndarray:
        """(N,) the Beta's mean."""
        share: np.ndarray = steps.inlier_share(self.alpha, self.beta)
        return share

    def change_context(self, before: np.ndarray, after: np.ndarray, left: np.ndarray) -> None:
        """Another context begins: the evidence moves by the difference of the two records."""
        moved = log_odds_between(before, after)
        weight = float(self._rules[1] + self._rules[2])
        self.alpha[:], self.beta[:] = moved_beta(self.alpha, self.beta, moved, weight, left)
        scales = moved_scale(self.scale_a, self.scale_b, moved, float(self._rules[3]))
        self.scale_a[:], self.scale_b[:] = scales
        self._is_bad_here = after < BAD_RECORD
        self._doubt_kept = np.where(moved != 0, np.exp(-np.maximum(moved, 0.0)), self._doubt_kept)
        self._num_relieved = np.where(moved != 0, CONTEXT_RELIEF, self._num_relieved)

    def _relieved(self, evidence: Evidence) -> np.ndarray:
        """(N,) the own doubt, less where a source has just left a context in which it was worse: its record
        still spans both.
        """
        self._num_relieved = np.maximum(self._num_relieved - evidence.fresh, 0)
        kept = np.where(self._num_relieved > 0, self._doubt_kept, 1.0)
        relieved: np.ndarray = evidence.own_doubt * kept
        return relieved

    @property
    def scale(self) -> np.ndarray:
        """(N,) how much larger a source's noise is than its own normal; at least 1."""
        scale: np.ndarray = steps.noise_scale(self.scale_a, self.scale_b)
        return scale

    @property
    def trust(self) -> np.ndarray:
        """(N,) the Beta's mean minus one standard deviation, over the scale, times 1 - the doubt."""
        trust = np.empty(len(self.alpha))
        self._bound(self.alpha, self.beta, self.scale_a, self.scale_b, self.doubt, trust)
        return trust

    @property
    def is_judged(self) -> np.ndarray:
        """(N,) bool, whether there was evidence for or against each source."""
        judged: np.ndarray = (self.alpha != self._rules[1]) | (self.beta != self._rules[2])
        return judged

    @property
    def noise(self) -> np.ndarray:
        """(N,) normal mean squared innovation of each source, 0 while unknown."""
        return np.where(self._num_judged >= NOISE_WARMUP, self._moments[2], 0.0)

    def state(self) -> dict[str, np.ndarray]:
        """Copies of what a snapshot contains."""
        return {name: np.asarray(getattr(self, name)).copy() for name in STATE}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Restore what `state` returned."""
        for name in STATE:
            setattr(self, name, state[name].copy())


@cache
def _compiled() -> tuple[Any, Any]:
    from numba.extending import register_jitable

    for step in steps.STEPS:
        register_jitable(step)
    return kernel(steps.update), kernel(steps.lower_bound)


def token_weights(
    trust: np.ndarray, recency: np.ndarray, quality: np.ndarray, usable: np.ndarray
) -> np.ndarray:
    """(N,) trust x recency x quality of the `usable` sources, normalised to sum 1; all 0 without one."""
    with np.errstate(divide="ignore"):
        log_weight = np.log(trust) + np.log(recency) + np.log(quality)
    log_weight = np.where(usable, log_weight, -np.inf)
    top = float(np.maximum.reduce(log_weight, initial=-np.inf))
    if not math.isfinite(top):
        return np.zeros_like(trust)
    weight: np.ndarray = np.exp(log_weight - top)
    weight /= np.add.reduce(weight)
    return weight
