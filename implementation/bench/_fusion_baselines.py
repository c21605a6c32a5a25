"""What robust fusion is compared with, in NumPy: averages of one moment, and filters with other weights.

All sensors measure the position with a noise equal in both axes, so that a set of weighted readings is one
reading.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from _fusion_scenarios import LINEAGES, MATRIX, NUM_STEPS, START_COV, TRANSITION, TRANSITION_NOISE, Run

from sage.runtime.trust.commensurable.robust_filter import RobustFilter
from sage.runtime.trust.commensurable.rules import FusionRules, Sources

#: States (T, 4) and covariances (T, 4, 4), None for an average.
Track = tuple[np.ndarray, np.ndarray | None]
FORGETTING, STUDENT_DOF, NUM_ROUNDS = 0.97, 4.0, 3
FORK_WINDOW = 10


def sources_of(run: Run, lineage: str | None = None) -> Sources:
    return Sources(np.tile(MATRIX, (5, 1, 1)), run.claimed[:, None, None] ** 2 * np.eye(2), lineage=lineage)


def robust(
    run: Run,
    rules: FusionRules | None = None,
    lineage: str | None = None,
    *,
    is_compiled: bool | None = None,
) -> Track:
    """The package's own."""
    sources = sources_of(run, lineage)
    fusion = RobustFilter(np.zeros(4), START_COV, sources, rules, is_compiled=is_compiled)
    states, covs = np.empty((NUM_STEPS, 4)), np.empty((NUM_STEPS, 4, 4))
    for step, readings in enumerate(run.readings):
        fusion.predict(TRANSITION, TRANSITION_NOISE)
        fusion.update(readings)
        states[step], covs[step] = fusion.state, fusion.cov
    return states, covs


def robust_with_lineage(run: Run, scenario: str, *, is_compiled: bool | None = None) -> Track:
    return robust(run, lineage=LINEAGES[scenario], is_compiled=is_compiled)


def _averaged(run: Run, average: Callable[[np.ndarray], np.ndarray]) -> Track:
    states = np.zeros((NUM_STEPS, 4))
    states[:, ::2] = average(run.readings)
    return states, None


def mean(run: Run) -> Track:
    return _averaged(run, lambda readings: np.nanmean(readings, axis=1))


def median(run: Run) -> Track:
    return _averaged(run, lambda readings: np.nanmedian(readings, axis=1))


def inverse_variance(run: Run) -> Track:
    weight = run.claimed**-2.0

    def average(readings: np.ndarray) -> np.ndarray:
        used = np.where(np.isfinite(readings), weight[:, None], 0.0)
        averaged: np.ndarray = (used * np.nan_to_num(readings)).sum(axis=1) / used.sum(axis=1)
        return averaged

    return _averaged(run, average)


def fork(run: Run) -> Track:
    """The fork's formula: consistency exp(-CV) of a source's last readings; the most consistent one wins, the
    mean of all where their consistencies are equal to two digits.
    """
    states = np.zeros((NUM_STEPS, 4))
    for step in range(NUM_STEPS):
        window = run.readings[max(step + 1 - FORK_WINDOW, 0) : step + 1]
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = window.std(axis=0) / np.abs(window.mean(axis=0))
        grade = np.round(np.exp(-np.nan_to_num(spread, nan=np.inf, posinf=np.inf).mean(axis=1)), 2)
        grade = np.where(np.isfinite(run.readings[step]).all(axis=1), grade, -1.0)
        states[step, ::2] = run.readings[step][grade == grade.max()].mean(axis=0)
    return states, None


class _Weighted:
    """A Kalman filter whose sensors have a variance that a rule chooses."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.state = np.zeros(4)
        self.cov = START_COV.copy()
        self.states = np.empty((NUM_STEPS, 4))
        self.covs = np.empty((NUM_STEPS, 4, 4))

    def predict(self) -> None:
        self.state = TRANSITION.dot(self.state)
        self.cov = TRANSITION.dot(self.cov).dot(TRANSITION.T) + TRANSITION_NOISE

    def fused(self, readings: np.ndarray, precision: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """State and covariance after `readings` (N, 2) with `precision` (N,)."""
        total = precision.sum()
        if total <= 0:
            return self.state, self.cov
        spread = self.cov[::2, ::2] + np.eye(2) / total
        gain = self.cov[:, ::2].dot(np.linalg.inv(spread))
        innovation = precision.dot(readings) / total - self.state[::2]
        return self.state + gain.dot(innovation), self.cov - gain.dot(self.cov[::2])

    def keep(self, step: int, fused: tuple[np.ndarray, np.ndarray]) -> None:
        self.state, self.cov = fused
        self.states[step], self.covs[step] = fused


def student(run: Run) -> Track:
    """Student-t readings, weights iterated."""
    own = _Weighted(run)
    for step, readings in enumerate(run.readings):
        own.predict()
        is_present = np.isfinite(readings).all(axis=1)
        claimed, given = run.claimed[is_present] ** 2, readings[is_present]
        weight = np.ones(len(given))
        for _ in range(NUM_ROUNDS):
            state, cov = own.fused(given, weight / claimed)
            square = ((given - state[::2]) ** 2).sum(axis=1) + np.trace(cov[::2, ::2])
            weight = (STUDENT_DOF + 2) / (STUDENT_DOF + square / claimed)
        own.keep(step, own.fused(given, weight / claimed))
    return own.states, own.covs


def adaptive_noise(run: Run) -> Track:
    """Innovation-adaptive R: a running mean square of each sensor's innovations, less the prediction's."""
    own, variance = _Weighted(run), run.claimed**2
    for step, readings in enumerate(run.readings):
        own.predict()
        is_present = np.isfinite(readings).all(axis=1)
        square = ((readings - own.state[::2]) ** 2).sum(axis=1) / 2 - np.trace(own.cov[::2, ::2]) / 2
        learned = FORGETTING * variance + (1 - FORGETTING) * np.maximum(square, 0.0)
        variance = np.where(is_present & (step > 20), np.maximum(learned, 0.1 * run.claimed**2), variance)
        own.keep(step, own.fused(readings[is_present], 1 / variance[is_present]))
    return own.states, own.covs


def variational(run: Run) -> Track:
    """Variational adaptive Kalman filter (Sarkka and Nummenmaa 2009), one scale a sensor."""
    own, a, b = _Weighted(run), np.full(5, 10.0), np.full(5, 10.0)
    for step, readings in enumerate(run.readings):
        own.predict()
        is_present = np.isfinite(readings).all(axis=1)
        claimed, given = run.claimed[is_present] ** 2, readings[is_present]
        a = np.where(is_present, FORGETTING * a + 0.3 + 1.0, a)
        before = FORGETTING * b[is_present] + 0.3
        learned = b[is_present] + 1.0
        for _ in range(NUM_ROUNDS):
            state, cov = own.fused(given, a[is_present] / learned / claimed)
            square = ((given - state[::2]) ** 2).sum(axis=1) + np.trace(cov[::2, ::2])
            learned = before + square / claimed / 2
        own.keep(step, own.fused(given, a[is_present] / learned / claimed))
        b[is_present] = learned
    return own.states, own.covs


BASELINES: dict[str, Callable[[Run], Track]] = {
    "mean": mean,
    "median": median,
    "inverse variance": inverse_variance,
    "Student-t": student,
    "innovation-adaptive R": adaptive_noise,
    "variational adaptive": variational,
    "the fork's": fork,
}
