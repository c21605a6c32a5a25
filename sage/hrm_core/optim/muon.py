"""Muon: momentum orthogonalised by Newton-Schulz iterations, for matrices (Jordan et al. 2024; update scale
of arXiv 2502.16982).

Invariant: the root mean square of an update is about 0.2, as AdamW's is, so both can use one learning rate.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

from sage.errors import InputError

#: Coefficients of a quintic; five iterations map every singular value in (0, 1] to about 1.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
NUM_ITERATIONS = 5
EPS = 1e-7


def orthogonalise(matrices: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Approximately the nearest semi-orthogonal matrix of each of a stack (N, R, C), computed and returned in
    `dtype`.

    dtype: default bf16 on CUDA and fp32 on other devices.
    """
    a, b, c = COEFFICIENTS
    x = matrices.to(dtype or (torch.bfloat16 if matrices.is_cuda else torch.float32))
    is_tall = x.shape[-2] > x.shape[-1]
    if is_tall:
        x = x.mT
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=EPS)
    for _ in range(NUM_ITERATIONS):
        gram = x @ x.mT  # (N, R, R)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if is_tall else x


class Muon(Optimizer):
    """m = lerp(m, g);  p *= 1 - lr wd;  p -= lr 0.2 sqrt(max(R, C)) orthogonalise(lerp(g, m)). For matrices
    (R, C) only.

    Matrices of equal shape are orthogonalised as one stack, which takes fewer kernel calls.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.1,
        dtype: torch.dtype | None = None,
    ) -> None:
        if not lr >= 0:
            raise InputError(f"lr is {lr}: give 0 or more")
        if not 0 <= momentum < 1:
            raise InputError(f"momentum is {momentum}: give a number from 0 to below 1")
        if not weight_decay >= 0:
            raise InputError(f"weight_decay is {weight_decay}: give 0 or more")
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self._dtype = dtype
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.ndim != 2:
                    raise InputError(f"Muon: a weight has shape {tuple(weight.shape)}: give matrices only")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step_group(group)
        return loss

    def _step_group(self, group: dict[str, Any]) -> None:
        weights = [weight for weight in group["params"] if weight.grad is not None]
        if not weights:
            return
        gradients: list[Tensor] = [weight.grad for weight in weights]
        for weight in weights:
            if not self.state[weight]:
                self.state[weight] = {"momentum": torch.zeros_like(weight)}
        momenta = [self.state[weight]["momentum"] for weight in weights]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        updates = torch._foreach_lerp(gradients, momenta, group["momentum"])  # Nesterov momentum
        if group["weight_decay"]:
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, weight in enumerate(weights):
            by_shape[tuple(weight.shape)].append(index)
        for shape, indices in by_shape.items():
            stack = orthogonalise(
                torch.stack([updates[index] for index in indices]), self._dtype
            )  # (N, R, C)
            rate = group["lr"] * 0.2 * math.sqrt(max(shape))
            chosen = [weights[index] for index in indices]
            torch._foreach_add_(chosen, list(stack.to(chosen[0].dtype).unbind(0)), alpha=-rate)
