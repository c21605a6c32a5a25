"""The prior as a source, for B filters at once: the rules of `commensurable/rival.py` without branches.

Invariant: a filter without a reading does not change.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sage.runtime.trust.commensurable.rival import (
    MAX_REJECTED,
    MIN_EACH,
    MIN_READINGS,
    MIN_SOURCES,
    MIN_SUPPORT,
)
from sage.runtime.trust.commensurable.rules import FusionRules
from sage.runtime.trust.on_device.fusing import Constants


class Rivals:
    """Of B filters. is_there: (B,) bool, whether each has a rival.  num_won: (B,)."""

    def __init__(self, num_filters: int, constants: Constants, rules: FusionRules) -> None:
        self._lineage, self._rules = constants.lineage, rules
        num_lineages, device = self._lineage.shape[1], self._lineage.device
        self.is_there = torch.zeros(num_filters, dtype=torch.bool, device=device)
        self.num_won = torch.zeros(num_filters, dtype=torch.int64, device=device)
        self._age = torch.zeros_like(self.num_won)
        self._since = torch.full((num_filters, num_lineages), rules.window, dtype=torch.int64, device=device)
        self._gain = self._lineage.new_zeros((num_filters, num_lineages))
        self._num_judged = self._lineage.new_zeros((num_filters, 3, num_lineages))

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """What `judge` changes."""
        return (self.is_there, self.num_won, self._age, self._since, self._gain, self._num_judged)

    def judge(self, judged: Tensor, rival: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) bool: filters whose rival takes over, and filters where a new rival begins.

        judged, rival: (B, 4, N) of both after an update.  present: (B, N) bool.
        """
        rules, is_any = self._rules, present.any(dim=1)
        num_here = self._by_lineage(present)
        is_here = num_here > 0
        since = torch.where(is_here, 0, self._since + 1)
        age = self._age + self.is_there
        is_compared = self.is_there[:, None] & is_here

        def mean(values: Tensor) -> Tensor:
            found = self._by_lineage(torch.where(present, values, 0.0)) / num_here.clamp(min=1.0)
            return torch.where(is_compared, found, 0.0)

        gain = self._gain + mean(rival[:, 2] - judged[:, 2])
        gained = [is_compared.to(gain.dtype), mean(judged[:, 3]), mean(rival[:, 3])]
        num_judged = self._num_judged + torch.stack(gained, dim=1)
        has_won = self.is_there & self._is_won(since, gain, num_judged)
        num, _, num_own = num_judged.sum(dim=2).unbind(1)
        is_lost = (num >= MIN_READINGS) & (num_own > MAX_REJECTED * num)
        is_kept = self.is_there & (has_won | ~((age >= rules.window) | is_lost))
        begins = ~is_kept & self._is_rejected(judged[:, 3], present, is_here)
        begins, has_won = begins & is_any, has_won & is_any
        is_new = begins | has_won
        self._since.copy_(torch.where(is_any[:, None], since, self._since))
        self._age.copy_(torch.where(is_new, 0, torch.where(is_any, age, self._age)))
        self._gain.copy_(torch.where(is_new[:, None], 0.0, gain))
        self._num_judged.copy_(torch.where(is_new[:, None, None], 0.0, num_judged))
        self.num_won.add_(has_won)
        self.is_there.copy_(torch.where(is_any, is_kept | begins, self.is_there))
        return has_won, begins

    def _by_lineage(self, values: Tensor) -> Tensor:
        """(B, L) sums over the sources of each lineage, of `values` (B, N)."""
        return values.to(self._lineage.dtype).matmul(self._lineage)

    def _is_rejected(self, is_rejected: Tensor, present: Tensor, is_here: Tensor) -> Tensor:
        """(B,) whether most of the independent sources present reject the prediction."""
        num = (self._by_lineage(present & (is_rejected > 0)) > 0).sum(dim=1)
        return 2 * num > is_here.sum(dim=1)

    def _is_won(self, since: Tensor, gain: Tensor, num_judged: Tensor) -> Tensor:
        """(B,) whether most of the recent lineages mostly reject the prediction, and accept the rival's."""
        is_recent = since < self._rules.window
        num, num_rejected, num_own = num_judged.unbind(1)
        is_support = (num >= MIN_EACH) & (num_rejected > MAX_REJECTED * num) & (num_own <= MAX_REJECTED * num)
        num_support = (is_recent & is_support & (gain > MIN_SUPPORT)).sum(dim=1)
        total = torch.where(is_recent, gain, 0.0).sum(dim=1)
        is_most = (num_support >= MIN_SOURCES) & (2 * num_support > is_recent.sum(dim=1))
        return is_most & (total > self._rules.evidence_ratio)
