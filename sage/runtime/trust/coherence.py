"""Coherence of the sources: pred.xerr, agreement, correctness and their composite (COGNITION.md, Coherence).

coherence = sqrt(agreement above chance x correctness), so that agreement on a wrong prediction counts
nothing. NaN before the first full window of ticks. Invariant: the loop does not use the result.
"""

from __future__ import annotations

import math

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
        observed = _mean_cosine(moving, weight)
        generator = np.random.default_rng(0)  # fixed: the shifts are part of the estimator
        window, num_present = moving.shape[:2]
        nulls = []
        for _ in range(NUM_SHIFTS):
            shifts = generator.integers(window // 8, window - window // 8, num_present)
            index = (np.arange(window)[:, None] + np.cumsum(shifts)[None, :]) % window
            nulls.append(_mean_cosine(moving[index, np.arange(num_present)], weight))
        return observed, float(np.mean(nulls))


def _mean_cosine(unit: np.ndarray, weight: np.ndarray) -> float:
    """Mean over ticks of the weighted mean cosine over pairs i != j, from unit vectors (W, n, D)."""
    total = np.einsum("wnd,n->wd", unit, weight)
    own = np.einsum("wnd,n->w", unit**2, weight**2)
    pairs = 1 - float((weight**2).sum())
    if pairs <= 1e-12:
        return math.nan
    return float((((total**2).sum(axis=-1) - own) / pairs).mean())
