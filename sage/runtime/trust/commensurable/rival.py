"""The prior as a source: when agreeing sources reject the prediction, it is the prediction that is wrong.

A rival starts from the same state with a much wider covariance once most of the sources present reject the
prediction. Both predict the next readings; the rival takes over when the readings of most independent
sources are more probable under it, by `evidence_ratio` in all. A single faulty source cannot do this: the
rival must explain the others at least as well. COGNITION.md, Trust and fusion, 6.
"""

from __future__ import annotations

import numpy as np

from sage.runtime.trust.commensurable.belief import Belief
from sage.runtime.trust.commensurable.rules import FusionRules, Sources

MIN_SUPPORT = 1.0  # log likelihood ratio of a source that supports the rival
MIN_EACH = 3  # readings of each of them
MIN_SOURCES = 2  # independent sources that must support it
KEPT_EVIDENCE = 0.5  # share of the evidence that a rival starts with
MAX_REJECTED = 0.5  # share of a source's readings; above it, it rejects a prediction
MIN_READINGS = 4  # before a rival that rejects most readings is dropped


class Rivalry:
    """Holds the rival, if there is one. jump: (D, D) covariance that it adds."""

    def __init__(self, sources: Sources, jump: np.ndarray, rules: FusionRules) -> None:
        self.rival: Belief | None = None
        self.is_starting = False
        self.num_won = 0
        self._lineage = sources.lineage
        self._num_lineages = int(sources.lineage.max()) + 1
        self._jump = jump
        self._rules = rules
        self._age = 0
        self._since = np.full(self._num_lineages, rules.window)  # updates since the last reading
        self._gain = np.zeros(self._num_lineages)
        self._num_judged = np.zeros((3, self._num_lineages))  # readings in all, rejected, and by the rival

    def prior_of(self, belief: Belief) -> Belief | None:
        """The belief before an update, from which a rival would start."""
        if not self._rules.is_prior_judged:
            return None
        return belief.doubted(self._jump, KEPT_EVIDENCE)

    def judge(self, belief: Belief, present: np.ndarray) -> bool:
        """Compare both after an update; whether the rival takes over."""
        self.is_starting = False
        if not self._rules.is_prior_judged:
            return False
        self._since += 1
        self._since[self._lineage[present]] = 0
        if self.rival is not None:
            self._compare(belief, present)
            if self._is_won():
                return True
            num, _, num_own = self._num_judged.sum(axis=1)
            is_lost = num >= MIN_READINGS and num_own > MAX_REJECTED * num
            if self._age >= self._rules.window or is_lost:
                self.rival = None
        if self.rival is None:
            self.is_starting = self._is_rejected(belief, present)
        return False

    def start(self, prior: Belief | None) -> Belief:
        """`prior` becomes the rival."""
        assert prior is not None
        self._challenge(prior)
        return prior

    def take(self, lost: Belief) -> Belief:
        """The rival, which has won; `lost` becomes its rival, and may win back."""
        won = self.rival
        assert won is not None
        self._challenge(lost)
        self.num_won += 1
        return won

    def _challenge(self, rival: Belief) -> None:
        self.rival, self._age = rival, 0
        self._gain[:] = 0.0
        self._num_judged[:] = 0.0

    def _is_rejected(self, belief: Belief, present: np.ndarray) -> bool:
        """Whether most of the independent sources present reject the prediction."""
        lineages = self._lineage[present]
        rejected = np.unique(lineages[belief.judged[3][present] > 0])
        return 2 * len(rejected) > len(np.unique(lineages))

    def _compare(self, belief: Belief, present: np.ndarray) -> None:
        assert self.rival is not None
        self._age += 1
        ratio = self.rival.judged[2] - belief.judged[2]
        for lineage in np.unique(self._lineage[present]):
            is_own = present & (self._lineage == lineage)
            self._gain[lineage] += ratio[is_own].mean()
            rejected = (each.judged[3][is_own].mean() for each in (belief, self.rival))
            self._num_judged[:, lineage] += (1.0, *rejected)

    def _is_won(self) -> bool:
        """Whether most of the recent lineages mostly reject the prediction, and accept the rival's."""
        is_recent = self._since < self._rules.window
        num, num_rejected, num_own = self._num_judged
        is_support = (num >= MIN_EACH) & (num_rejected > MAX_REJECTED * num) & (num_own <= MAX_REJECTED * num)
        num_support = np.count_nonzero(is_recent & is_support & (self._gain > MIN_SUPPORT))
        return bool(
            num_support >= MIN_SOURCES
            and 2 * num_support > np.count_nonzero(is_recent)
            and self._gain[is_recent].sum() > self._rules.evidence_ratio
        )
