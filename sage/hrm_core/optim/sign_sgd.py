"""Sign-SGD for the rows of an embedding table: a step updates the rows of the batch only, each element by lr.

Invariant: gradients of a row are summed over the batch and over all ranks before the sign is taken, so
replicas of the table stay equal.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sage.errors import InputError
from sage.hrm_core.optim.ranks import SINGLE, Ranks


class SparseSignSGD:
    """row *= 1 - lr wd;  row -= lr sign(sum of its gradients), for the rows of `table.grad` (sparse, N x
    ndim).

    Rows whose gradient is all 0 (placeholders of unknown puzzles) are unchanged. The optimizer has no state.
    """

    def __init__(self, table: Tensor, *, lr: float, weight_decay: float, ranks: Ranks = SINGLE) -> None:
        for name, value in (("lr", lr), ("weight_decay", weight_decay)):
            if not value >= 0:
                raise InputError(f"{name} is {value}: give 0 or more")
        self.table = table.requires_grad_()
        self.base_lr = self.lr = lr
        self._weight_decay = weight_decay
        self._ranks = ranks

    @torch.no_grad()
    def step(self) -> None:
        ids, rows = self._touched()
        if not len(ids):
            return
        moved = self.table[ids] * (1 - self.lr * self._weight_decay)  # (K, ndim)
        self.table.index_copy_(0, ids, moved.add_(rows.sign(), alpha=-self.lr))

    def zero_grad(self) -> None:
        self.table.grad = None

    def _touched(self) -> tuple[Tensor, Tensor]:
        """Unique ids (K,) and their summed gradients (K, ndim), equal on every rank."""
        gradient = self.table.grad
        if gradient is None:
            empty = torch.zeros(0, self.table.shape[1], device=self.table.device)
            ids, rows = torch.zeros(0, dtype=torch.long, device=self.table.device), empty
        else:
            gradient = gradient.coalesce()
            ids, rows = gradient.indices()[0], gradient.values()
        if self._ranks.count > 1:
            ids, inverse = self._ranks.gather_rows(ids).unique(return_inverse=True)
            gathered = self._ranks.gather_rows(rows)
            rows = torch.zeros(len(ids), rows.shape[1], device=rows.device).index_add_(0, inverse, gathered)
        is_touched = rows.ne(0).any(1)
        return ids[is_touched], rows[is_touched]
