"""A Beta distribution on "this source is right" for each of N sources, with forgetting towards the prior."""

from __future__ import annotations

import numpy as np

from sage.errors import InputError
from sage.runtime.trust.by_context import log_odds_between, moved_beta

#: As in TrustConfig.
PRIOR_RIGHT, PRIOR_WRONG = 9.0, 1.0
FORGETTING = 0.97


class RightOrWrong:
    """alpha, beta: (N,) counts for and against, prior included. Invariant: both stay above 0."""

    def __init__(self, num_sources: int, *, forgetting: float = FORGETTING) -> None:
        if not 0 < forgetting <= 1:
            raise InputError(f"forgetting is {forgetting}: give a number above 0, at most 1")
        self.alpha = np.full(num_sources, PRIOR_RIGHT)
        self.beta = np.full(num_sources, PRIOR_WRONG)
        self._forgetting = forgetting

    def judge(self, right: np.ndarray) -> None:
        """right: (N,) 0..1, NaN where a source was not judged; those do not change."""
        is_judged = np.isfinite(right)
        share = np.clip(np.where(is_judged, right, 0.0), 0.0, 1.0)
        keep, drift = self._forgetting, 1 - self._forgetting
        alpha = keep * self.alpha + drift * PRIOR_RIGHT + share
        beta = keep * self.beta + drift * PRIOR_WRONG + 1 - share
        self.alpha = np.where(is_judged, alpha, self.alpha)
        self.beta = np.where(is_judged, beta, self.beta)

    def change_context(self, before: np.ndarray, after: np.ndarray, left: np.ndarray) -> None:
        """As in TrustForm."""
        moved = log_odds_between(before, after)
        self.alpha, self.beta = moved_beta(self.alpha, self.beta, moved, PRIOR_RIGHT + PRIOR_WRONG, left)

    @property
    def mean(self) -> np.ndarray:
        """(N,) probability of "right"."""
        mean: np.ndarray = self.alpha / (self.alpha + self.beta)
        return mean

    @property
    def bound(self) -> np.ndarray:
        """(N,) the mean minus one standard deviation, 0..1."""
        mean = self.mean
        deviation = np.sqrt(mean * (1 - mean) / (self.alpha + self.beta + 1))
        bound: np.ndarray = np.clip(mean - deviation, 0.0, 1.0)
        return bound

    def state(self) -> dict[str, np.ndarray]:
        return {"alpha": self.alpha.copy(), "beta": self.beta.copy()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        self.alpha, self.beta = state["alpha"].copy(), state["beta"].copy()
