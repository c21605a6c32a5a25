"""Heads of learned deduction: keep or kill each candidate, and detect a conflict (LDT, arXiv 2605.08605).

Invariant: logits are fp32 whatever the dtype of the state.
Shapes: B rows, S = L K tokens (L cells, K symbols), D hidden.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sage.hrm_core.model.layers import Linear

#: At the start every candidate is kept, and no puzzle is in conflict.
KEEP_BIAS, CONFLICT_BIAS = 2.0, -2.0


class DeductionHeads(nn.Module):
    """keep: one logit a token.  conflict: one logit from the mean and the maximum of the tokens; a conflict
    is often visible in one line only, which a mean over all tokens would hide.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.keep = Linear(size, 1)
        self.keep_bias = nn.Parameter(torch.empty(1))
        self.conflict = Linear(2 * size, 1)
        self.conflict_bias = nn.Parameter(torch.empty(1))

    @torch.no_grad()
    def init_weights(self) -> None:
        self.keep.weight.zero_()
        self.keep_bias.fill_(KEEP_BIAS)
        self.conflict.weight.zero_()
        self.conflict_bias.fill_(CONFLICT_BIAS)

    def forward(self, z_BSD: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """keep (B, L, K) and conflict (B,) for candidates (B, L, K); keep is also computed for bits that are
        none."""
        keep = self.keep(z_BSD).float().view(candidates.shape) + self.keep_bias.float()
        pooled = torch.cat((z_BSD.mean(1), z_BSD.amax(1)), dim=-1)  # (B, 2 D)
        conflict = self.conflict(pooled).float().squeeze(-1) + self.conflict_bias.float()
        return keep, conflict
