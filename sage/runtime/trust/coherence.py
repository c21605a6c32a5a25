"""Coherence of the sources: pred.xerr, agreement, correctness and their composite (COGNITION.md, Coherence).

coherence = sqrt(agreement above chance x correctness), so that agreement on a wrong prediction counts
nothing. NaN before the first full window of ticks. Invariant: the loop does not use the result.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from sage.runtime.report import CoherenceFacts

NUM_SHIFTS = 16


class CoherenceMeter:
    """The last `window` ticks of N sources' states (N, D), measured every `every` ticks."""

    def __init__(self, num_sources: int, num_features: int, *, window: int = 64, every: int = 16) -> None:
        self._states = np.zeros((window, num_sources, num_features), dtype=np.float32)
        self._present = np.zeros((window, num_sources), dtype=bool)
        self._nis = np.full((window, num_sources), np.nan)
        self._errors = np.zeros((window, 2))
        self._every = every
        self._num_ticks = 0
        self._facts = CoherenceFacts()

    def update(
        self,
        states: np.ndarray,
        present: np.ndarray,
        nis: np.ndarray,
        trust: np.ndarray,
        error: float,
        persistence: float,
    ) -> CoherenceFacts:
        """Add one tick; returns the newest measurement.

        states: (N, D).  present: (N,) bool.  nis: (N,) of fresh readings, else NaN.  trust: (N,).  error,
        persistence: sums of the squared errors of the prediction and of "nothing changes".
        """
        row = self._num_ticks % len(self._states)
        self._states[row], self._present[row], self._nis[row] = states, present, nis
        self._errors[row] = error, persistence
        self._num_ticks += 1
        if self._num_ticks % self._every == 0 and self._num_ticks >= len(self._states):
            self._facts = self._measure(trust)
        return self._facts

    def _measure(self, trust: np.ndarray) -> CoherenceFacts:
        is_judged = ~np.isnan(self._nis)
        xerr = float(self._nis[is_judged].mean()) if is_judged.any() else math.nan
        agreement, null = self._agreement(trust)
        error, persistence = self._errors.sum(axis=0)
        correctness = max(0.0, min(1.0, 1 - error / persistence)) if persistence > 0 else math.nan
        above_null = max(0.0, (agreement - null) / (1 - null)) if null < 1 else math.nan
        return CoherenceFacts(
            xerr=xerr,
            agreement=agreement,
            agreement_null=null,
            correctness=correctness,
            coherence=math.sqrt(above_null * correctness),
            num_ticks=len(self._states),
        )

    def _agreement(self, trust: np.ndarray) -> tuple[float, float]:
        """Trust-weighted mean pairwise cosine of the centred states, and its chance level: the mean of the
        same under circular shifts of each source.
        """
        rows = np.arange(self._num_ticks, self._num_ticks + len(self._states)) % len(
            self._states
        )  # oldest first
        always = self._present.all(axis=0)
        if np.count_nonzero(always) < 2:
            return math.nan, math.nan
        states = self._states[rows][:, always]  # (W, n, D)
        moving = states - states.mean(axis=0)
        moving /= np.maximum(np.linalg.norm(moving, axis=-1, keepdims=True), 1e-9)
        weight = trust[always] / max(trust[always].sum(), 1e-12)
        return _mean_cosines(moving, weight)


def _mean_cosines(unit: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Mean over ticks of the weighted mean cosine over pairs i != j of unit vectors (W, n, D), and the same
    as a mean over the shifts.

    By Parseval's theorem: the sum over ticks of |sum_i w_i u_i|^2 is that over frequencies, where a shift in
    time is a factor. What a source has in common with itself does not change by a shift.
    """
    pairs = 1 - float((weight**2).sum())
    if pairs <= 1e-12:
        return math.nan, math.nan
    window, num = unit.shape[:2]
    own = float((np.einsum("wnd,wnd->n", unit, unit) * weight**2).sum()) / window
    spectrum = np.fft.rfft(unit * weight[:, None], axis=0)  # (F, n, D)
    parts = np.matmul(_phases(window, num), spectrum)  # (F, 1 + shifts, D)
    power = parts.real**2 + parts.imag**2
    twice = np.full(len(spectrum), 2.0)  # each frequency stands for its negative too
    twice[0] = 1.0
    if window % 2 == 0:
        twice[-1] = 1.0
    squares = np.einsum("f,fsd->s", twice, power) / window**2  # mean over ticks
    cosines = (squares - own) / pairs
    return float(cosines[0]), float(cosines[1:].mean())


@lru_cache(maxsize=4)
def _phases(window: int, num: int) -> np.ndarray:
    """(F, 1 + NUM_SHIFTS, n) factors of the shifts of n sources; the first ones are 1, without a shift."""
    generator = np.random.default_rng(0)  # fixed: the shifts are part of the estimator
    shifts = generator.integers(window // 8, window - window // 8, (NUM_SHIFTS, num))
    shifts = np.concatenate([np.zeros((1, num), dtype=np.int64), np.cumsum(shifts, axis=1)])
    frequency = np.arange(window // 2 + 1)[:, None, None]
    phases: np.ndarray = np.exp(2j * np.pi / window * (frequency * shifts[None] % window))
    return phases
