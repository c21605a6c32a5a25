"""What robust fusion believes: a state with its covariance, and the evidence on each source."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from sage.runtime.trust.commensurable import steps
from sage.runtime.trust.commensurable.rules import FusionRules, Sources

GATE_99 = 2.3263  # 99% quantile of the standard normal distribution
UNLIMITED = 1e300


class Belief:
    """One hypothesis. state: (D,).  cov: (D, D).  evidence: (4, N) alpha, beta, a, b.  floor: (N,).

    judged: (4, N) of the last update: rho, normalised innovation squared, log likelihood under the prior,
    and 1 where the prior is rejected.
    """

    def __init__(self, state: np.ndarray, cov: np.ndarray, sources: Sources, rules: FusionRules) -> None:
        self.state = np.array(state, dtype=float)
        self.cov = np.array(cov, dtype=float)
        self._sources = sources
        self._numbers = rule_numbers(rules)
        self.evidence = np.repeat(self._numbers[[1, 2, 3, 3]][:, None], sources.num, axis=1)
        self.floor = np.ones(sources.num)
        self.drift = np.zeros((sources.num_rows, sources.num))
        self.judged = np.zeros((4, sources.num))
        self.judged[0] = 1.0
        self._gate = gates(sources.dims)
        self._pad = (sources.num_rows - sources.dims).astype(float)
        self._is_anchored = rules.is_anchored
        self._limit = float(rules.anchor_limit)
        self._groups = [
            members
            for members in (np.flatnonzero(sources.quantity == each) for each in np.unique(sources.quantity))
            if len(members) >= steps.MIN_ANCHORED
        ]

    def doubted(self, spread: np.ndarray, keep: float) -> Belief:
        """A copy whose state is uncertain by a further `spread` (D, D), with `keep` of the evidence."""
        copy = Belief.__new__(Belief)
        copy.__dict__.update(self.__dict__)
        prior = self._numbers[[1, 2, 3, 3]][:, None]
        copy.state, copy.cov = self.state.copy(), self.cov + spread
        copy.evidence = prior + keep * (self.evidence - prior)
        copy.floor, copy.drift, copy.judged = self.floor.copy(), self.drift.copy(), self.judged.copy()
        return copy

    def reject(self, is_rejected: np.ndarray) -> None:
        """One reading of each source in `is_rejected` (N,) is an outlier. It is not fused."""
        keep, prior = self._numbers[0], self._numbers[[1, 2, 3, 3]][:, None]
        learned = keep * self.evidence + (1 - keep) * prior
        learned[1] += 1.0
        self.evidence = np.where(is_rejected, learned, self.evidence)
        self.judged[0] = np.where(is_rejected, 0.0, self.judged[0])

    def update(
        self,
        innovation: np.ndarray,
        rows: np.ndarray,
        present: np.ndarray,
        is_compiled: bool,
        noise_ratio: np.ndarray | None = None,
    ) -> None:
        """innovation: (M, N) reading minus prediction, 0 where absent.  rows: (M, N, D), whitened.
        noise_ratio: (N,) standard deviation of each reading over that of its source; rows are divided by it.
        """
        fuse, anchor = compiled() if is_compiled else (steps.fuse, steps.anchor)
        sources = self._sources
        variance = sources.variance if noise_ratio is None else sources.variance * noise_ratio**2
        if self._is_anchored:
            for members in self._groups:
                anchor(innovation, variance, present, members, self._limit, self.drift, self.floor)
        if sources.num_rows == 1:
            whitened = innovation * sources.whitener[:, 0, 0]
        else:
            whitened = np.ascontiguousarray(np.einsum("nij,jn->in", sources.whitener, innovation))
        if noise_ratio is not None:
            whitened = whitened / noise_ratio
        fuse(
            self.state,
            self.cov,
            whitened,
            rows,
            self._pad,
            present,
            sources.kin,
            sources.num_kin,
            self._gate,
            self._numbers,
            self.evidence,
            self.floor,
            self.judged,
        )


def rule_numbers(rules: FusionRules) -> np.ndarray:
    """(6,) for `steps.fuse`."""
    given = (
        rules.forgetting,
        rules.prior_inlier,
        rules.prior_outlier,
        rules.prior_scale,
        rules.outlier_ratio,
    )
    return np.array([*(min(each, UNLIMITED) for each in given), rules.gate or 0.0])


def gates(dims: np.ndarray) -> np.ndarray:
    """99% quantiles of chi-square (Wilson and Hilferty 1931)."""
    width = 2 / (9 * dims)
    quantiles: np.ndarray = dims * (1 - width + GATE_99 * np.sqrt(width)) ** 3
    return quantiles


@cache
def compiled() -> tuple[Callable[..., None], Callable[..., None]]:
    """`steps.fuse` and `steps.anchor`, compiled."""
    from numba.extending import register_jitable

    from sage.compiled import kernel

    for step in steps.STEPS:
        register_jitable(step)
    made: tuple[Any, Any] = kernel(steps.fuse), kernel(steps.anchor)
    return made
