"""The processes that train one model together (torch.distributed), as far as training needs to know.

Invariant: one process is the ordinary case and calls nothing of torch.distributed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """count processes, of which this is number `index`."""

    index: int = 0
    count: int = 1

    @classmethod
    def current(cls) -> Ranks:
        """As torch.distributed was set up (torchrun), or one process alone."""
        if not (dist.is_available() and dist.is_initialized()):
            return SINGLE
        return cls(index=dist.get_rank(), count=dist.get_world_size())

    def mean_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the ranks; one message for all of them."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.count
        start = 0
        for tensor in tensors:
            tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()

    def gather_rows(self, rows: Tensor) -> Tensor:
        """The rows of every rank behind each other, in rank order; each may have a number of its own."""
        if self.count == 1:
            return rows
        size = torch.tensor([len(rows)], device=rows.device)
        sizes = [torch.zeros_like(size) for _ in range(self.count)]
        dist.all_gather(sizes, size)
        counts = [int(each) for each in sizes]  # sync: how much comes from whom
        padded = rows.new_zeros((max(counts), *rows.shape[1:]))
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts)])

    def any(self, is_true: bool) -> bool:
        """Is it true on any rank?"""
        if self.count == 1:
            return is_true
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        flag = torch.tensor([float(is_true)], device=device)
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag.item() > 0)  # sync: a decision that all must share

    def barrier(self) -> None:
        if self.count > 1:
            dist.barrier()


SINGLE = Ranks()
