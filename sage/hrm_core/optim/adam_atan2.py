"""AdamATan2: Adam with atan2 in place of the division, which needs no epsilon and is invariant to the scale
of gradients (arXiv 2407.05872).

Invariant: both coefficients are 1, as in the training of the published models (other packages use 1.27 for
one).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

from sage.errors import InputError

#: Maximum number of weights updated at once: their updates are temporary copies, and with 27 M weights at
#: once they were the peak memory of a training step.
MAX_AT_ONCE = 1 << 22


class AdamATan2(Optimizer):
    """p *= 1 - lr wd;  p -= lr / (1 - b1^t) atan2(m, sqrt(v) / sqrt(1 - b2^t)).

    Each parameter group has its own step count; weights without a gradient keep their values and moments.
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
        for part in _in_parts(weights, MAX_AT_ONCE):
            self._update(part, group)

    def _update(self, weights: list[Tensor], group: dict[str, Any]) -> None:
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


def _in_parts(weights: list[Tensor], max_numel: int) -> Iterator[list[Tensor]]:
    """Consecutive parts of at most `max_numel` elements in total, but of at least one tensor."""
    part: list[Tensor] = []
    num = 0
    for weight in weights:
        if part and num + weight.numel() > max_numel:
            yield part
            part, num = [], 0
        part.append(weight)
        num += weight.numel()
    yield part
