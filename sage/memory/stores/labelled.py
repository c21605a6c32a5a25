"""Labelled experiences for sleep: inputs, labels, and the outputs that the model gave when they were stored.

Invariant: the arrays are allocated once; an experience keeps its stored outputs until they are refreshed.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sage.errors import InputError
from sage.memory.stores.reservoir import WeightedReservoir


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """N experiences.

    inputs: (N, ...) as stored.  labels: (N,) int64.  outputs: (N, K) float32, the model's logits at the time.
    contexts: (N,) int64.  is_real: (N,) bool, False for an experience that a model or a generator made.
    """

    inputs: Tensor
    labels: Tensor
    outputs: Tensor
    contexts: Tensor
    is_real: Tensor

    def __len__(self) -> int:
        """N."""
        return len(self.labels)

    def __getitem__(self, rows: Tensor) -> Labelled:
        """Some of the experiences, copied."""
        return Labelled(**{field.name: getattr(self, field.name)[rows] for field in dataclasses.fields(self)})

    def replace(self, **changed: Tensor) -> Labelled:
        """The same experiences with some tensors changed."""
        return dataclasses.replace(self, **changed)


class LabelledStore:
    """At most `capacity` experiences, a weighted reservoir shared between contexts.

    input_shape: of one experience.  dtype: of the inputs as stored.  num_outputs: K.  InputError for a
    capacity under 1.
    """

    def __init__(
        self,
        capacity: int,
        input_shape: tuple[int, ...],
        num_outputs: int,
        *,
        seed: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._reservoir = WeightedReservoir(capacity, seed)
        self._slots = Labelled(
            inputs=torch.zeros((capacity, *input_shape), dtype=dtype),
            labels=torch.zeros(capacity, dtype=torch.int64),
            outputs=torch.zeros((capacity, num_outputs)),
            contexts=torch.zeros(capacity, dtype=torch.int64),
            is_real=torch.zeros(capacity, dtype=torch.bool),
        )

    def __len__(self) -> int:
        return len(self._reservoir)

    @property
    def contexts(self) -> np.ndarray:
        """Context of each experience in the store, a view."""
        return self._reservoir.contexts

    def consider(self, experiences: Labelled, weights: np.ndarray) -> int:
        """Offer experiences in order; returns how many were copied. weights: (N,), above 0.

        InputError for tensors of other shapes.
        """
        stored = {field.name: getattr(self._slots, field.name) for field in dataclasses.fields(Labelled)}
        offered = {name: getattr(experiences, name).detach().cpu() for name in stored}
        for name, tensor in stored.items():
            if offered[name].shape[1:] != tensor.shape[1:]:
                raise InputError(
                    f"{name} has shape {tuple(offered[name].shape)}: give (N, *{tuple(tensor.shape[1:])})"
                )
        num_copied = 0
        for row, (weight, context) in enumerate(zip(weights, offered["contexts"].tolist())):
            slot = self._reservoir.offer(float(weight), context)
            if slot is not None:
                num_copied += 1
                for name, tensor in stored.items():
                    tensor[slot] = offered[name][row]
        return num_copied

    def all(self) -> Labelled:
        """The experiences in the store, copied."""
        return self._slots[torch.arange(len(self))]

    def refresh(self, outputs: Tensor) -> None:
        """Replace the stored outputs of all experiences, (N, K) in the order of `all`."""
        self._slots.outputs[: len(self)] = outputs.detach().cpu()
