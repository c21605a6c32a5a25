"""The processes that train one model together (torch.distributed): index, count, and the collectives that
training uses.

Invariant: a single process makes no call to torch.distributed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from sage.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """`count` processes; `index` is the number of this one, from 0."""

    index: int = 0
    count: int = 1

    @classmethod
    def current(cls) -> Ranks:
        """The ranks of torch.distributed if it is initialized (torchrun), otherwise a single process."""
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

    def mean_gradients_(self, weights: Sequence[Tensor]) -> None:
        """Replace the gradients of these weights by their means over the ranks. A weight that has a gradient
        on some ranks only, because the rows of the others have no target for it, has one of 0 there.
        """
        if self.count == 1 or not weights:
            return
        has_one = torch.tensor(
            [float(weight.grad is not None) for weight in weights], device=weights[0].device
        )
        dist.all_reduce(has_one, dist.ReduceOp.MAX)
        gradients = []
        for weight, is_somewhere in zip(weights, has_one.tolist()):  # sync: all ranks send the same tensors
            if is_somewhere and weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            if weight.grad is not None:
                gradients.append(weight.grad)
        self.mean_(gradients)

    def gather_rows(self, rows: Tensor) -> Tensor:
        """The rows of all ranks, concatenated in rank order; the number of rows may differ between ranks."""
        if self.count == 1:
            return rows
        size = torch.tensor([len(rows)], device=rows.device)
        sizes = [torch.zeros_like(size) for _ in range(self.count)]
        dist.all_gather(sizes, size)
        counts = [int(each) for each in sizes]  # sync: number of rows of each rank
        padded = rows.new_zeros((max(counts), *rows.shape[1:]))
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts)])

    def any(self, is_true: bool) -> bool:
        """Whether `is_true` is True on any rank."""
        if self.count == 1:
            return is_true
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        flag = torch.tensor([float(is_true)], device=device)
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag.item() > 0)  # sync: all ranks must decide alike

    @contextmanager
    def together(self) -> Iterator[None]:
        """What one rank raises inside ends the block on all of them: the others raise InputError. Inside, no
        rank calls a collective.
        """
        try:
            yield
        except Exception:
            self.any(True)
            raise
        if self.any(False):
            raise InputError("another process cannot do it: see its line")

    def mean(self, value: float) -> float:
        """The mean of a number over the ranks: the same on each of them."""
        if self.count == 1:
            return value
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        found = torch.tensor([value], dtype=torch.float64, device=device)
        dist.all_reduce(found)
        return float(found.item()) / self.count  # sync: all ranks must decide alike

    def barrier(self) -> None:
        if self.count > 1:
            dist.barrier()


SINGLE = Ranks()
