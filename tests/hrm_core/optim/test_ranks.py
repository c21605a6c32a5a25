"""Gradients of several ranks, each a thread here."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from sage.hrm_core.optim.ranks import SINGLE, Ranks


class Together:
    """`all_reduce` of threads, as torch.distributed has it for processes."""

    def __init__(self, count: int) -> None:
        self._barrier = threading.Barrier(count, timeout=10)
        self._given: dict[int, Tensor] = {}

    def all_reduce(self, tensor: Tensor, op: object = dist.ReduceOp.SUM) -> None:
        self._given[threading.get_ident()] = tensor.clone()
        self._barrier.wait()
        stacked = torch.stack(list(self._given.values()))  # of one size, or this raises
        tensor.copy_(stacked.amax(0) if op == dist.ReduceOp.MAX else stacked.sum(0))
        self._barrier.wait()


def _run(count: int, work: Callable[[Ranks], None]) -> list[BaseException]:
    errors: list[BaseException] = []

    def caught(ranks: Ranks) -> None:
        try:
            work(ranks)
        except BaseException as error:
            errors.append(error)

    threads = [
        threading.Thread(target=caught, args=(Ranks(index=each, count=count),)) for each in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_a_gradient_that_one_rank_lacks_counts_as_zero_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of the heads for actions, where the windows of one rank have no reward."""
    monkeypatch.setattr(dist, "all_reduce", Together(2).all_reduce)
    weights = {rank: [torch.zeros(size, requires_grad=True) for size in (3, 2, 4, 1)] for rank in range(2)}
    for rank, (first, second, _, last) in weights.items():
        first.grad = torch.full((3,), 1.0 + rank)
        second.grad = torch.full((2,), 8.0) if rank else None
        last.grad = None if rank else torch.full((1,), 6.0)
    assert not _run(2, lambda ranks: ranks.mean_gradients_(weights[ranks.index]))
    for first, second, third, last in weights.values():
        assert first.grad is not None
        assert second.grad is not None
        assert last.grad is not None
        assert first.grad.tolist() == [1.5] * 3
        assert second.grad.tolist() == [4.0] * 2
        assert third.grad is None, "no rank has one: the optimizer leaves the weight as it is"
        assert last.grad.tolist() == [3.0]


def test_a_single_process_keeps_its_gradients() -> None:
    weight = torch.zeros(2, requires_grad=True)
    weight.grad = torch.ones(2)
    SINGLE.mean_gradients_([weight, torch.zeros(1, requires_grad=True)])
    assert weight.grad.tolist() == [1.0, 1.0]
