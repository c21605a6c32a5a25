"""Exponential moving average of a model's weights.

Invariant: the average starts equal to the weights; training never reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from sage.errors import InputError


class EMA:
    """average = decay * average + (1 - decay) * weight from update number `begin_step` on; before it the
    average equals the weight. decay: 0 to below 1; it may be set between updates.
    """

    def __init__(self, model: nn.Module, decay: float, *, begin_step: int = 0) -> None:
        if not 0 <= decay < 1:
            raise InputError(f"decay is {decay}: give a number from 0 to below 1")
        self._weights = dict(model.named_parameters())
        self._averages = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self.decay = decay
        self._begin_step = begin_step
        self.num_updates = 0

    @torch.no_grad()
    def update(self) -> None:
        self.num_updates += 1
        share = 1.0 if self.num_updates < self._begin_step else 1.0 - self.decay
        torch._foreach_lerp_(list(self._averages.values()), list(self._weights.values()), share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Context: the model has the averaged weights inside, and its own, bit-identical, afterwards."""
        weights = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self._copy(self._averages)
        try:
            yield
        finally:
            self._copy(weights)

    def copy_to_weights(self) -> None:
        """Replace the model's weights by the average."""
        self._copy(self._averages)

    def state(self) -> dict[str, Tensor]:
        return dict(self._averages)

    @torch.no_grad()
    def load_state(self, averages: Mapping[str, Tensor], num_updates: int) -> None:
        for name, average in self._averages.items():
            average.copy_(averages[name])
        self.num_updates = num_updates

    @torch.no_grad()
    def _copy(self, values: Mapping[str, Tensor]) -> None:
        for name, weight in self._weights.items():
            weight.copy_(values[name])
