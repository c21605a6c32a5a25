"""Trust of sources that answer in one embedding space, from how far each answer is from those of the others.

An answer is a unit vector. Its residual is the squared distance, 0 to 4, from the trust-weighted mean
direction of the others' answers (leave-one-out: with itself in, a confident liar confirms itself). Two
likelihoods, both exponential: an inlier's mean residual is s_i R, with R the usual residual of the group's
median source and s_i >= 1 how much larger that of source i is (inverse gamma); an outlier's is 2, that of
unrelated directions. The probability of "inlier" is evidence in a Beta distribution with forgetting
(COGNITION.md, Trust and fusion).

Invariant: a source is judged by agreement only where two independent others answered; with fewer, it cannot
be decided which one is wrong, and trust changes by outcomes and repeated answers only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sage.errors import InputError
from sage.runtime.trust.answers.beta import FORGETTING, RightOrWrong
from sage.runtime.trust.by_context import log_odds_between, moved_scale

NUM_ROUNDS = 3
UNRELATED = 2.0  # mean squared distance of independent directions
PRIOR_SCALE = 10.0  # of both inverse gammas
PRIOR_RESIDUAL = 0.5  # the group's usual residual before there is any
MIN_RESIDUAL = 0.02
MIN_OTHERS = 2
STUCK_RUN = 24  # identical answers, while another source changed its answer in at least half of them


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedAnswers:
    """embedding: (D,) the unit vector of the fused answer; NaN where there is none.  weights: (N,) of the
    answers in it, sum 1 or 0.  nearest: index of the answer closest to it, -1 where there is none.
    conflict: 1 - weighted mean cosine of the answers with it, 0..2; NaN without two answers.
    """

    embedding: np.ndarray
    weights: np.ndarray
    nearest: int
    conflict: float


class EmbeddingTrust:
    """A Judged form of N sources.

    lineage: (N,) group numbers; sources of one group derive from the same model: they share one vote, and
    do not judge each other. All of different groups when None. nis: residual over the group's usual one.
    agreement: (N,) how right each answer of the last exchange was, 0..1: by outcome where it was known, else
    the probability that it means the same as the others; NaN where neither is there.
    """

    def __init__(
        self, num_sources: int, lineage: np.ndarray | None = None, *, forgetting: float = FORGETTING
    ) -> None:
        n = num_sources
        self._lineage = np.arange(n) if lineage is None else np.asarray(lineage)
        if self._lineage.shape != (n,):
            raise InputError(f"lineage is of shape {self._lineage.shape}: give {(n,)}")
        self._is_kin = self._lineage[:, None] == self._lineage[None, :]
        self._right = RightOrWrong(n, forgetting=forgetting)
        self._forgetting = forgetting
        self._scale = np.full((2, n), PRIOR_SCALE)  # a and b of the inverse gamma on s
        self._usual = np.array([PRIOR_SCALE, PRIOR_SCALE * PRIOR_RESIDUAL])  # a and b of R
        self._last: np.ndarray | None = None
        self._runs = np.zeros((2, n), dtype=np.int64)  # identical answers, and of them: another one moved
        self.nis = np.full(n, np.nan)
        self.agreement = np.full(n, np.nan)
        self.responsibility = np.ones(n)
        self.is_stuck = np.zeros(n, dtype=bool)

    @property
    def scale(self) -> np.ndarray:
        """(N,) how much larger a source's residual is than the group's usual one; at least 1."""
        scale: np.ndarray = np.maximum(self._scale[1] / self._scale[0], 1.0)
        return scale

    @property
    def usual_residual(self) -> float:
        """R."""
        return max(float(self._usual[1] / self._usual[0]), MIN_RESIDUAL)

    @property
    def trust(self) -> np.ndarray:
        """(N,) 0..1: lower bound of the Beta, divided by the scale."""
        trust: np.ndarray = np.clip(self._right.bound / self.scale, 0.0, 1.0)
        return trust

    def meet(
        self, answers: np.ndarray, confidence: np.ndarray, right: np.ndarray | None = None
    ) -> FusedAnswers:
        """Learn from one exchange, and fuse it with the trust from before it.

        answers: (N, D), a row of NaN where a source has none; any length but 0.  confidence: (N,) 0..1.
        right: (N,) 0..1 where the outcome is known, NaN elsewhere; it takes the place of agreement.
        """
        units, is_given = _units(answers)
        rho, residual = self._judge(units, is_given, confidence)
        self._note_runs(units, is_given)
        fused = self._fuse(units, is_given, confidence, rho)
        is_agreed = np.isfinite(residual)
        evidence = np.where(is_agreed, rho, np.nan)
        evidence = np.where(is_given & self.is_stuck, 0.0, evidence)
        if right is not None:
            evidence = np.where(is_given & np.isfinite(right), right, evidence)
        self._right.judge(evidence)
        # Against the group's usual residual: a source that always disagrees is in conflict each time.
        alike = _inlier(residual, np.full(len(rho), self.usual_residual), 0.5)
        self.agreement = np.where(is_agreed & (evidence == rho), alike, evidence)
        self.responsibility = np.where(np.isfinite(self.agreement), self.agreement, self.responsibility)
        self.nis = residual / self.usual_residual
        self._learn_scale(residual, rho)
        return fused

    def learn_outcome(self, answers: np.ndarray, outcome: np.ndarray) -> np.ndarray:
        """(N,) how probable it is that each answer means the outcome, 0..1, NaN without an answer.

        answers: (N, D) of an exchange.  outcome: (D,) what turned out to be right. Trust learns from it.
        """
        units, is_given = _units(answers)
        target, is_known = _units(outcome[None])
        if not is_known[0]:
            return np.full(len(units), np.nan)
        residual = np.maximum(2 - 2 * units.dot(target[0]), 0.0)
        right = np.where(is_given, _inlier(residual, np.full(len(units), self.usual_residual), 0.5), np.nan)
        self._right.judge(right)
        self.responsibility = np.where(is_given, right, self.responsibility)
        return right

    @property
    def share(self) -> np.ndarray:
        """(N,) as in TrustForm."""
        return self._right.mean

    def change_context(self, before: np.ndarray, after: np.ndarray, left: np.ndarray) -> None:
        """As in TrustForm."""
        self._right.change_context(before, after, left)
        moved = log_odds_between(before, after)
        self._scale = np.stack(moved_scale(self._scale[0], self._scale[1], moved, PRIOR_SCALE))

    def state(self) -> dict[str, np.ndarray]:
        """Copies of what a snapshot contains."""
        return {"scale": self._scale.copy(), "usual": self._usual.copy(), **self._right.state()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Restore what `state` returned."""
        self._scale, self._usual = state["scale"].copy(), state["usual"].copy()
        self._right.load_state(state)

    def _judge(
        self, units: np.ndarray, is_given: np.ndarray, confidence: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(N,) probability of an inlier, and (N,) residual, NaN where it is not defined."""
        usual, scale, prior = self.usual_residual, self.scale, self._right.mean
        others = ~self._is_kin & is_given[None, :]
        groups = np.array([len(np.unique(self._lineage[row])) for row in others])
        is_judged = is_given & (groups >= MIN_OTHERS)
        base = self._votes(is_given) * confidence * self.trust
        rho = np.where(is_given, prior, 0.0)
        residual = np.full(len(rho), np.nan)
        for _ in range(NUM_ROUNDS):
            sums = (others * (base * rho)[None, :]).dot(units)  # (N, D), without the source and its kin
            lengths = np.linalg.norm(sums, axis=1)
            is_defined = is_judged & (lengths > 1e-12)
            cosine = np.einsum("nd,nd->n", units, sums) / np.maximum(lengths, 1e-12)
            residual = np.where(is_defined, np.maximum(2 - 2 * cosine, 0.0), np.nan)
            inlier = _inlier(residual, scale * usual, prior)
            rho = np.where(is_defined, inlier, np.where(is_given, prior, 0.0))
        return rho, residual

    def _fuse(
        self, units: np.ndarray, is_given: np.ndarray, confidence: np.ndarray, rho: np.ndarray
    ) -> FusedAnswers:
        weights = self._votes(is_given) * confidence * self.trust * rho
        total, sums = weights.sum(), weights.dot(units)
        length = float(np.linalg.norm(sums))
        if not total > 0 or length < 1e-12:
            nothing = np.full(units.shape[1], np.nan)
            return FusedAnswers(
                embedding=nothing, weights=np.zeros_like(weights), nearest=-1, conflict=np.nan
            )
        weights = weights / total
        cosine = units.dot(sums / length)
        equal = self._votes(is_given) / self._votes(is_given).sum()
        return FusedAnswers(
            embedding=sums / length,
            weights=weights,
            nearest=int(np.argmax(np.where(weights > 0, cosine, -np.inf))),
            conflict=float(equal.dot(1 - cosine)) if np.count_nonzero(is_given) > 1 else np.nan,
        )

    def _votes(self, is_given: np.ndarray) -> np.ndarray:
        """(N,) 1 over the number of answers of the same lineage; 0 without an answer."""
        return np.where(is_given, 1 / np.maximum((self._is_kin & is_given[None, :]).sum(axis=1), 1), 0.0)

    def _learn_scale(self, residual: np.ndarray, rho: np.ndarray) -> None:
        """Inverse gammas with forgetting: R from the median source, s from the inliers of each source."""
        is_judged = np.isfinite(residual)
        if not is_judged.any():
            return
        keep, drift = self._forgetting, (1 - self._forgetting) * PRIOR_SCALE
        share = np.where(is_judged, rho, 0.0)
        excess = np.where(is_judged, residual, 0.0) / self.usual_residual
        updated = keep * self._scale + drift + np.stack([share, share * excess])
        self._scale = np.where(is_judged, updated, self._scale)
        middle = float(np.median(residual[is_judged]))
        self._usual = keep * self._usual + [drift + 1.0, drift * PRIOR_RESIDUAL + middle]

    def _note_runs(self, units: np.ndarray, is_given: np.ndarray) -> None:
        """A source that repeats one answer while others change theirs is stuck until it moves."""
        if self._last is None:
            self._last = np.where(is_given[:, None], units, np.nan)
            return
        is_same = is_given & (units == self._last).all(axis=1)
        has_moved = is_given & ~is_same & np.isfinite(self._last).all(axis=1)
        others_moved = np.count_nonzero(has_moved) - has_moved > 0
        runs = np.stack([self._runs[0] + is_same, self._runs[1] + (is_same & others_moved)])
        self._runs = np.where(is_given, np.where(is_same, runs, 0), self._runs)
        self.is_stuck = (self._runs[0] >= STUCK_RUN) & (2 * self._runs[1] >= self._runs[0])
        self._last = np.where(is_given[:, None], units, self._last)


def _inlier(residual: np.ndarray, mean: np.ndarray, prior: np.ndarray | float) -> np.ndarray:
    """(N,) probability of an inlier, whose residual has the mean `mean`, against an unrelated direction."""
    mean = np.minimum(mean, UNRELATED)
    log_odds = np.log(UNRELATED / mean) - residual * (1 / mean - 1 / UNRELATED)
    log_odds = log_odds + np.log(prior / (1 - prior))
    probability: np.ndarray = 1 / (1 + np.exp(-np.clip(log_odds, -50.0, 50.0)))
    return probability


def _units(answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, D) unit vectors, 0 where there is no answer; (N,) bool."""
    is_finite = np.isfinite(answers).all(axis=1)
    lengths = np.linalg.norm(np.where(is_finite[:, None], answers, 0.0), axis=1)
    is_given = is_finite & (lengths > 1e-12)
    units = np.where(is_given[:, None], answers / np.maximum(lengths, 1e-12)[:, None], 0.0)
    return units, is_given
