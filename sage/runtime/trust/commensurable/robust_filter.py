"""Robust fusion of sources that measure one state: a Kalman filter that judges its sources and itself.

COGNITION.md, Trust and fusion. With evidence switched off (infinite priors) it is the Kalman filter in
information form. Invariant: a source without a reading does not change, and no reading confirms itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from sage.compiled import has_compiler
from sage.errors import InputError
from sage.runtime.trust.commensurable.belief import Belief
from sage.runtime.trust.commensurable.rival import Rivalry
from sage.runtime.trust.commensurable.rules import FusionRules, Sources

#: A motion model: state (D,) -> predicted state (D,), its Jacobian (D, D).
Motion = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
#: A measurement model: state (D,) -> predicted readings (N, M), their Jacobians (N, M, D).
Measurement = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class RobustFilter:
    """Fuse N sources into a state of D numbers; call `predict`, then `update`, once a step.

    state: (D,) at the start.  cov: (D, D) its covariance; also how uncertain the state is where the sources
    reject the prediction (`jump` gives another covariance).  is_compiled: None uses numba where it is
    installed.
    """

    def __init__(
        self,
        state: np.ndarray,
        cov: np.ndarray,
        sources: Sources,
        rules: FusionRules | None = None,
        *,
        jump: np.ndarray | None = None,
        is_compiled: bool | None = None,
    ) -> None:
        rules = FusionRules() if rules is None else rules
        size = sources.num_states
        if np.shape(state) != (size,) or np.shape(cov) != (size, size):
            raise InputError(f"state is {np.shape(state)} and cov {np.shape(cov)}: the sources have D {size}")
        self.sources = sources
        self._is_compiled = has_compiler() if is_compiled is None else is_compiled
        self._belief = Belief(state, cov, sources, rules)
        self._rivalry = Rivalry(sources, np.array(cov if jump is None else jump, dtype=float), rules)

    def predict(self, transition: np.ndarray | Motion, noise: np.ndarray) -> None:
        """One step of the motion model. transition: (D, D), or a function.  noise: (D, D) its covariance."""
        for belief in (self._belief, self._rivalry.rival):
            if belief is None:
                continue
            if callable(transition):
                belief.state, jacobian = transition(belief.state)
            else:
                belief.state, jacobian = transition.dot(belief.state), transition
            belief.cov = jacobian.dot(belief.cov).dot(jacobian.T) + noise

    def update(
        self,
        readings: np.ndarray,
        measurement: Measurement | None = None,
        *,
        noise_ratio: np.ndarray | None = None,
    ) -> None:
        """Fuse `readings` (N, M); a source with a NaN among its numbers is absent.

        measurement: for a model that is not linear; default: the sources' matrices.
        noise_ratio: (N,) above 0, standard deviation of each of these readings over that of its source;
        None: 1.
        """
        readings = np.asarray(readings, dtype=float)
        sources = self.sources
        if readings.shape != (sources.num, sources.num_rows):
            raise InputError(f"readings are {readings.shape}: give {(sources.num, sources.num_rows)}")
        values = np.where(sources.is_row, readings.T, 0.0)
        present: np.ndarray = np.logical_and.reduce(np.isfinite(values), axis=0)
        if not present.any():
            return
        values = np.where(present, values, 0.0)
        if self._rivalry.rival is not None:
            self._update(self._rivalry.rival, values, present, measurement, noise_ratio)
        before = self._belief
        prior = self._rivalry.prior_of(before)
        self._update(before, values, present, measurement, noise_ratio)
        if self._rivalry.judge(before, present):
            self._belief = self._rivalry.take(before)
        elif self._rivalry.is_starting:
            self._update(self._rivalry.start(prior), values, present, measurement, noise_ratio)

    def reject(self, is_rejected: np.ndarray) -> None:
        """Count one reading of each source in `is_rejected` (N,) as an outlier, without fusing it: what else
        shows that it is wrong, for example a repeated value.
        """
        for belief in (self._belief, self._rivalry.rival):
            if belief is not None:
                belief.reject(is_rejected)

    def learned(self) -> dict[str, np.ndarray]:
        """Copies of the evidence on each source, not of the state: (4, N) counts, (N,) least scales and
        (M, N) running differences from the median.
        """
        belief = self._belief
        return {
            "evidence": belief.evidence.copy(),
            "floor": belief.floor.copy(),
            "drift": belief.drift.copy(),
        }

    def load_learned(self, learned: Mapping[str, np.ndarray]) -> None:
        """Restore what `learned` returned, for the same sources."""
        belief = self._belief
        for name in ("evidence", "floor", "drift"):
            kept = getattr(belief, name)
            if np.shape(learned[name]) != kept.shape:
                raise InputError(f"{name} is {np.shape(learned[name])}: the sources have {kept.shape}")
            setattr(belief, name, np.array(learned[name], dtype=float))

    def _update(
        self,
        belief: Belief,
        values: np.ndarray,
        present: np.ndarray,
        measurement: Measurement | None,
        noise_ratio: np.ndarray | None,
    ) -> None:
        sources = self.sources
        if measurement is None:
            predicted, rows = sources.matrix.dot(belief.state), sources.rows
        else:
            predicted, matrix = measurement(belief.state)
            rows = sources.whitened(matrix * sources.is_row.T[:, :, None])
        if noise_ratio is not None:
            rows = rows / noise_ratio[:, None]
        innovation = np.where(present & sources.is_row, values - predicted.T, 0.0)
        belief.update(innovation, rows, present, self._is_compiled, noise_ratio)

    @property
    def state(self) -> np.ndarray:
        """(D,)"""
        return self._belief.state

    @property
    def cov(self) -> np.ndarray:
        """(D, D)"""
        return self._belief.cov

    @property
    def responsibility(self) -> np.ndarray:
        """(N,) probability that the last reading of each source was an inlier."""
        rho: np.ndarray = self._belief.judged[0]
        return rho

    @property
    def nis(self) -> np.ndarray:
        """(N,) normalised square of the last reading's difference from the prior and the other sources."""
        nis: np.ndarray = self._belief.judged[1]
        return nis

    @property
    def scale(self) -> np.ndarray:
        """(N,) how much larger the noise variance is than claimed, at least 1."""
        evidence = self._belief.evidence
        scale: np.ndarray = np.maximum(np.maximum(evidence[3] / evidence[2], 1.0), self._belief.floor)
        return scale

    @property
    def trust(self) -> np.ndarray:
        """(N,) 0..1: the Beta's mean minus one standard deviation, divided by the scale."""
        alpha, beta = self._belief.evidence[:2]
        mean = alpha / (alpha + beta)
        bound = mean - np.sqrt(mean * (1 - mean) / (alpha + beta + 1))
        trust: np.ndarray = np.clip(bound / self.scale, 0.0, 1.0)
        return trust

    @property
    def num_jumps(self) -> int:
        """Times that the sources rejected the prediction together."""
        return self._rivalry.num_won
