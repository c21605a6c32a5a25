"""Elastic weight consolidation: a night's weights stay near those before it, the more the more each matters.

penalty = weight / 2 sum_i F_i (theta_i - theta0_i)^2, F the diagonal of the empirical Fisher information of
the weights before the night: the mean of squared gradients of single experiences (Kirkpatrick et al. 2017,
"Overcoming catastrophic forgetting in neural networks", equation 3).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sage.errors import InputError
from sage.hrm_core.observation.loss import window_loss
from sage.hrm_core.observation.model import ObservationModel
from sage.memory.stores.labelled import Labelled
from sage.memory.windows.window import Window

#: Experiences whose gradients give F, at most.
NUM_FISHER = 64


class ElasticWeights:
    """The penalty of a night. weights: those that are trained, with their values before the night.

    losses: scalars, one of each experience, computed one after another with these values; their gradients are
    freed after each. Experiences whose gradient is not finite are left out.  strength: 0 or more.
    """

    def __init__(self, weights: Sequence[nn.Parameter], losses: Iterable[Tensor], *, strength: float) -> None:
        if strength < 0:
            raise InputError(f"strength is {strength}: give 0 or more")
        self._strength = strength
        self._weights = list(weights)
        self._before = [weight.detach().clone() for weight in self._weights]
        self.fisher = [torch.zeros_like(weight) for weight in self._before]
        num = 0
        for loss in losses:
            found = torch.autograd.grad(loss, self._weights, allow_unused=True)
            gradients = [torch.zeros_like(each) if g is None else g for each, g in zip(self._before, found)]
            if all(bool(torch.isfinite(each).all()) for each in gradients):
                torch._foreach_addcmul_(self.fisher, gradients, gradients)
                num += 1
        torch._foreach_div_(self.fisher, max(num, 1))

    def penalty(self) -> Tensor:
        """A scalar to add to the loss; 0 at the weights before the night."""
        terms = [
            (fisher * (weight - before).square()).sum()
            for fisher, weight, before in zip(self.fisher, self._weights, self._before)
        ]
        return 0.5 * self._strength * torch.stack(terms).sum()


def elastic_of_labelled(model: nn.Module, replay: Labelled, *, strength: float) -> ElasticWeights | None:
    """Of a classifier and its labels; None for a strength of 0."""
    if strength == 0:
        return None
    chosen = (replay[row] for row in _spread(replay))
    losses = (F.cross_entropy(model(each.inputs), each.labels) for each in chosen)
    return ElasticWeights(list(model.parameters()), losses, strength=strength)


def elastic_of_windows(
    model: ObservationModel,
    weights: Sequence[nn.Parameter],
    replay: Window,
    *,
    burn_in: int,
    num_segments: int,
    strength: float,
) -> ElasticWeights | None:
    """Of the loop's model, on windows without hidden sources; None for a strength of 0."""
    if strength == 0:
        return None
    losses = (
        window_loss(
            model,
            replay[row],
            burn_in=burn_in,
            num_segments=num_segments,
            mask_probability=0.0,
            generator=torch.Generator(),
        )[0]
        for row in _spread(replay)
    )
    return ElasticWeights(weights, losses, strength=strength)


def _spread(replay: Sized) -> Iterator[Tensor]:
    """Indices (1,) of at most NUM_FISHER experiences, evenly spread."""
    num = len(replay)
    return iter(torch.linspace(0, num - 1, min(num, NUM_FISHER)).round().long()[:, None])
