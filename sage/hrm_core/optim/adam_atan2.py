"""AdamATan2: Adam whose ratio goes through atan2, so that it needs no epsilon and no gradient scale (arXiv
2407.05872).

Invariant: both coefficients are 1, as the published models were trained (other packages take 1.27 for one of
them).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

from sage.errors import InputError

#: Numbers that are moved at once. Their updates stand beside them for a moment: 27 M at once were the peak of
#: a training step.
MOST_AT_ONCE = 1 << 22


class AdamATan2(Optimizer):
    """p *= 1 - lr wd;  p -= lr / (1 - b1^t) atan2(m, sqrt(v) / sqrt(1 - b2^t)).

    A group counts its own steps; weights without a gradient in a step keep their moments.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.0,
    ) -> None:
        if not lr >= 0:
            raise InputError(f"lr is {lr}: give 0 or more")
        if not all(0 <= beta < 1 for beta in betas):
            raise InputError(f"betas is {betas}: give two numbers from 0 to below 1")
        if not weight_decay >= 0:
            raise InputError(f"weight_decay is {weight_decay}: give 0 or more")
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "num_steps": 0})

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
        group["num_steps"] += 1
        for some in _in_parts(weights, MOST_AT_ONCE):
            self._move(some, group)

    def _move(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        for weight in weights:
            if not self.state[weight]:
                self.state[weight] = {"mean": torch.zeros_like(weight), "square": torch.zeros_like(weight)}
        means = [self.state[weight]["mean"] for weight in weights]
        squares = [self.state[weight]["square"] for weight in weights]

        lr, (beta1, beta2) = group["lr"], group["betas"]
        correction1, correction2 = 1 - beta1 ** group["num_steps"], 1 - beta2 ** group["num_steps"]
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        updates = torch._foreach_sqrt(squares)
        torch._foreach_div_(updates, correction2**0.5)
        for mean, update in zip(means, updates):  # there is no multi-tensor atan2
            torch.atan2(mean, update, out=update)
        if group["weight_decay"]:
            torch._foreach_mul_(weights, 1 - lr * group["weight_decay"])
        torch._foreach_add_(weights, updates, alpha=-lr / correction1)


def _in_parts(weights: list[Tensor], most: int) -> Iterator[list[Tensor]]:
    """In their order, as many at a time as have `most` numbers between them, but one at least."""
    part: list[Tensor] = []
    num = 0
    for weight in weights:
        if part and num + weight.numel() > most:
            yield part
            part, num = [], 0
        part.append(weight)
        num += weight.numel()
    yield part
