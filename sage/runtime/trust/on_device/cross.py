"""Leave-one-out prediction of each source from the others, in torch: `CrossPredictor` on one device.

`judge`, `learn` and `refactor` read no value on the host and change tensors in place, so that a CUDA graph
can record each of them. Only how often `refactor` is called is counted on the host. Invariant: the results of
`CrossPredictor` to rounding; a source of trust 0 does not change the Gaussian.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sage.errors import InputError
from sage.runtime.trust.cross import MAX_DEVIATIONS, NUM_ROUNDS, STUDENT_DOF
from sage.runtime.trust.on_device.fusing import inverse

LEAST_DEVIATION, LEAST_WEIGHT, LEAST_NOISE = 1e-9, 1e-9, 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorLeaveOneOut:
    """As `cross.LeaveOneOut`. estimate, innovation: (C,).  innovation_sq: (N,) its mean square over each
    source's channels, NaN where it is not defined, as in TensorEvidence.  is_defined: (N,) bool.
    """

    estimate: Tensor
    innovation: Tensor
    innovation_sq: Tensor
    is_defined: Tensor


class DeviceCross:
    """Running second moments with forgetting, of C channels of N sources. Arguments as of `CrossPredictor`.

    The gains need C steps of elimination: meant for up to some hundred channels.
    """

    def __init__(
        self,
        offsets: np.ndarray,
        is_witness: np.ndarray | None = None,
        *,
        forgetting: float = 0.998,
        min_shrinkage: float = 0.02,
        every: int = 8,
        warmup: int = 48,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> None:
        sizes = np.diff(np.asarray(offsets))
        num, size = len(sizes), int(np.sum(sizes))
        source = np.repeat(np.arange(num), sizes)
        self._forgetting, self._min_shrinkage = forgetting, min_shrinkage
        self._every, self._warmup = every, warmup
        self._source = torch.tensor(source, device=device)
        self._same_source = torch.tensor(source[:, None] == source, device=device)
        self._mean = torch.tensor((source[:, None] == np.arange(num)) / sizes, device=device, dtype=dtype)
        witness = np.ones(num, dtype=bool) if is_witness is None else is_witness
        self._is_witness = torch.tensor(witness, device=device)
        self._eye = torch.eye(size, device=device, dtype=dtype)
        self._sum, self._gain = torch.zeros_like(self._eye), torch.zeros_like(self._eye)
        self._weight, self._reach = torch.zeros_like(self._eye[0]), torch.zeros_like(self._eye[0])
        self._num_learned = torch.zeros((), device=device, dtype=torch.int64)
        self._num_updates = 0

    def update(self, z: Tensor, trust: Tensor, present: Tensor) -> None:
        """`learn`, and `refactor` as often as the NumPy class does."""
        self.learn(z, trust, present)
        self._num_updates += 1
        if self._num_updates % self._every == 0:
            self.refactor()

    def learn(self, z: Tensor, trust: Tensor, present: Tensor) -> None:
        """Learn from z (C,) of the sources `present` (N,) bool, each with weight `trust` (N,) 0..1."""
        weight = torch.where(present & self._is_witness, trust, 0.0)[self._source]
        weighted = weight.sqrt() * z
        self._sum.copy_(self._forgetting * self._sum + weighted[:, None] * weighted)
        self._weight.copy_(self._forgetting * self._weight + weight)
        self._num_learned.add_(1)

    def judge(self, z: Tensor, trust: Tensor, present: Tensor, noise: Tensor) -> TensorLeaveOneOut:
        """Compare every source's reading z (C,) with its estimate from the others, as `CrossPredictor.judge`.

        trust: (N,) 0..1.  present: (N,) bool.  noise: (N,) each source's normal mean squared innovation, 0
        while unknown.
        """
        present = present & self._is_witness
        trusted = torch.where(present, trust, 0.0)
        prior = (trusted / trusted.max().clamp(min=1e-9)) ** 2
        weight = prior[self._source]
        bounded = torch.minimum(torch.maximum(z, -self._reach), self._reach)
        used = weight * bounded
        for _ in range(NUM_ROUNDS):
            estimate = self._gain.matmul(used)
            square = ((z - estimate) ** 2).matmul(self._mean)
            ratio = torch.where(noise > 0, square / noise.clamp(min=LEAST_NOISE), 0.0)
            belief = prior / (STUDENT_DOF + ratio.clamp(min=1.0))
            weight = (belief / belief.max().clamp(min=LEAST_NOISE))[self._source]
            used = weight * bounded + (1 - weight) * estimate
        estimate = self._gain.matmul(used)
        innovation = z - estimate
        is_defined = present & (self._num_learned >= self._warmup) & (present.sum() > 1)
        innovation_sq = torch.where(is_defined, (innovation**2).matmul(self._mean), torch.nan)
        return TensorLeaveOneOut(
            estimate=estimate, innovation=innovation, innovation_sq=innovation_sq, is_defined=is_defined
        )

    def refactor(self) -> None:
        """Gains from a shrunk correlation matrix, which is positive definite."""
        deviation = torch.diagonal(self._sum).sqrt()
        is_known = deviation > LEAST_DEVIATION
        unit = torch.where(is_known, 1 / deviation.clamp(min=LEAST_DEVIATION), 0.0)
        size, forgetting = len(unit), self._forgetting
        num_updates = self._num_learned.to(unit.dtype)
        num_effective = (1 - torch.exp(num_updates * float(np.log(forgetting)))) / (1 - forgetting)
        shrinkage = (size / (size + num_effective)).clamp(min=self._min_shrinkage)
        correlation = (1 - shrinkage) * self._sum * unit[:, None] * unit
        correlation = torch.where(self._eye > 0, 1.0, correlation)
        precision = inverse(correlation[None])[0]
        own = inverse(torch.where(self._same_source, precision, 0.0)[None])[0]
        gain = -own.matmul(torch.where(self._same_source, 0.0, precision))
        scale = deviation / self._weight.clamp(min=LEAST_WEIGHT).sqrt()
        inverse_scale = torch.where(scale > LEAST_DEVIATION, 1 / scale.clamp(min=LEAST_DEVIATION), 0.0)
        self._reach.copy_(MAX_DEVIATIONS * scale)
        self._gain.copy_(gain * scale[:, None] * inverse_scale)

    def rescale(self, ratio: Tensor) -> None:
        """Change the channels' units by `ratio` (C,), old over new."""
        self._sum.mul_(ratio[:, None] * ratio)
        if self._num_updates:
            self.refactor()

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All that `learn` and `refactor` change, in place."""
        return (self._sum, self._weight, self._gain, self._reach, self._num_learned)

    def state(self) -> dict[str, np.ndarray]:
        """Copies on the host, as of `CrossPredictor.state`. This call waits for the device."""
        return {
            "sum": self._sum.cpu().numpy().copy(),
            "weight": self._weight.cpu().numpy().copy(),
            "num_updates": self._num_learned.cpu().numpy().copy(),
        }

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what `state` returned, or what that of a `CrossPredictor` did."""
        for name, kept in (("sum", self._sum), ("weight", self._weight)):
            if np.shape(state[name]) != tuple(kept.shape):
                raise InputError(f"{name} is {np.shape(state[name])}: give {tuple(kept.shape)}")
            kept.copy_(torch.as_tensor(np.asarray(state[name])))
        self._num_updates = int(state["num_updates"])
        self._num_learned.fill_(self._num_updates)
        if self._num_updates:
            self.refactor()
