"""Robust fusion of B independent groups of sources on one device: `RobustFilter` as a batch, in torch.

`predict` and `update` read no value on the host and change tensors in place, so that a CUDA graph can record
both together (`on_device/graphs.py`). Invariant: each filter has the results of a `RobustFilter` with its
readings, to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sage.errors import InputError
from sage.runtime.trust.commensurable.rival import KEPT_EVIDENCE
from sage.runtime.trust.commensurable.rules import FusionRules, Sources
from sage.runtime.trust.on_device.fusing import Beliefs, Constants, anchor, fuse
from sage.runtime.trust.on_device.rivals import Rivals

#: A motion model: states (H, B, D) -> predicted states, their Jacobians (H, B, D, D). H hypotheses of each of
#: B filters; dimensions of length 1 are repeated.
Motion = Callable[[Tensor], tuple[Tensor, Tensor]]
#: A measurement model: states (H, B, D) -> predicted readings (H, B, N, M), their Jacobians (H, B, N, M, D).
Measurement = Callable[[Tensor], tuple[Tensor, Tensor]]


class DeviceFilters:
    """Fuse N sources into a state of D numbers, in each of B filters; call `predict`, then `update`, once a
    step.

    state: (D,) or (B, D) at the start.  cov: (D, D) or (B, D, D) its covariance.  sources: of each filter.
    jump: (D, D), as in RobustFilter; None: `cov`.  dtype: float64, or float32 with about seven digits.
    """

    def __init__(
        self,
        state: np.ndarray | Tensor,
        cov: np.ndarray | Tensor,
        sources: Sources,
        rules: FusionRules | None = None,
        *,
        num_filters: int,
        jump: np.ndarray | Tensor | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> None:
        if dtype not in (torch.float64, torch.float32):
            raise InputError(f"dtype is {dtype}: give torch.float64 or torch.float32")
        if num_filters < 1:
            raise InputError(f"num_filters is {num_filters}: give 1 or more")
        self.sources, self.num_filters = sources, num_filters
        self._rules = FusionRules() if rules is None else rules
        self._options: dict[str, Any] = {"device": torch.device(device), "dtype": dtype}
        constants = Constants(sources, self._rules, self._options["device"], dtype)
        self._constants = constants
        size, num = sources.num_states, sources.num
        started, spread = self._start("state", state, (size,)), self._start("cov", cov, (size, size))
        self._jump = spread if jump is None else self._start("jump", jump, (size, size))
        shape = (num_filters, 4, num)
        judged = torch.zeros(shape, **self._options)
        judged[:, 0] = 1.0
        own = Beliefs(
            started,
            spread,
            constants.prior.expand(shape),
            torch.ones(num_filters, num, **self._options),
            torch.zeros(num_filters, sources.num_rows, num, **self._options),
            judged,
        )
        # The belief of each filter, and then its rival, which is a copy where there is none.
        self._beliefs = Beliefs.joined([own, own])
        self._rivals = Rivals(num_filters, constants, self._rules)

    def predict(self, transition: Tensor | Motion, noise: Tensor) -> None:
        """One step of the motion model. transition: (D, D), (B, D, D), or a function.  noise: (D, D) or (B,
        D, D) its covariance.
        """
        state, cov = (each.unflatten(0, (2, -1)) for each in (self._beliefs.state, self._beliefs.cov))
        if callable(transition):
            moved, jacobian = transition(state)
        else:
            moved, jacobian = torch.matmul(transition, state[..., None]).squeeze(-1), transition
        self._beliefs.state.copy_(moved.expand_as(state).flatten(0, 1))
        self._beliefs.cov.copy_((jacobian.matmul(cov).matmul(jacobian.mT) + noise).flatten(0, 1))

    def update(
        self,
        readings: Tensor,
        measurement: Measurement | None = None,
        *,
        noise_ratio: Tensor | None = None,
    ) -> None:
        """Fuse `readings` (B, N, M); a source with a NaN among its numbers is absent, a filter without a
        source does not change.

        measurement, noise_ratio (B, N): as in RobustFilter.
        """
        constants, num = self._constants, self.num_filters
        expected = (num, constants.num, constants.num_rows)
        if tuple(readings.shape) != expected:
            raise InputError(f"readings are {tuple(readings.shape)}: give {expected}")
        values = torch.where(constants.is_row, readings.to(constants.prior.dtype).mT, 0.0)
        present = values.isfinite().all(dim=1)
        values = torch.where(present[:, None], values, 0.0)
        own, rival = self._beliefs.split(num)
        if not self._rules.is_prior_judged:
            own = self._fused(own, values, present, measurement, noise_ratio).where(present.any(dim=1), own)
            self._keep(own, own)
            return
        before = Beliefs.joined([own, rival, self._doubted(own)])
        after, after_rival, after_doubted = self._fused(
            before, values, present, measurement, noise_ratio
        ).split(num)
        has_won, begins = self._rivals.judge(after.judged, after_rival.judged, present)
        new = after_rival.where(has_won, after)
        new_rival = after.where(has_won, after_doubted.where(begins, after_rival))
        is_any = present.any(dim=1)
        new, new_rival = new.where(is_any, own), new_rival.where(is_any, rival)
        self._keep(new, new_rival.where(self._rivals.is_there, new))

    def reject(self, is_rejected: Tensor) -> None:
        """Count one reading of each source in `is_rejected` (B, N) as an outlier, without fusing it."""
        keep, prior = self._constants.forgetting, self._constants.prior
        is_both, evidence = is_rejected.repeat(2, 1), self._beliefs.evidence
        learned = keep * evidence + (1 - keep) * prior
        learned[:, 1] += 1.0
        evidence.copy_(torch.where(is_both[:, None], learned, evidence))
        judged = self._beliefs.judged[:, 0]
        judged.copy_(torch.where(is_both, 0.0, judged))

    def learned(self) -> dict[str, np.ndarray]:
        """Copies of the evidence, on the host: (B, 4, N), (B, N) and (B, M, N), each filter's as in
        `RobustFilter.learned`. This call waits for the device.
        """
        own = self._own
        named = {"evidence": own.evidence, "floor": own.floor, "drift": own.drift}
        return {name: tensor.double().cpu().numpy().copy() for name, tensor in named.items()}

    def load_learned(self, learned: Mapping[str, np.ndarray]) -> None:
        """Restore what `learned` returned, or what `RobustFilter.learned` did, for every filter."""
        for name in ("evidence", "floor", "drift"):
            kept = getattr(self._own, name)
            given = torch.as_tensor(np.asarray(learned[name]), **self._options)
            if tuple(given.shape) not in (tuple(kept.shape), tuple(kept.shape[1:])):
                raise InputError(
                    f"{name} is {tuple(given.shape)}: give {tuple(kept.shape)} or {tuple(kept.shape[1:])}"
                )
            kept.copy_(given)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All that `predict` and `update` change, in place."""
        return (*self._beliefs, *self._rivals.tensors)

    @property
    def state(self) -> Tensor:
        """(B, D)"""
        return self._own.state

    @property
    def cov(self) -> Tensor:
        """(B, D, D)"""
        return self._own.cov

    @property
    def responsibility(self) -> Tensor:
        """(B, N) probability that the last reading of each source was an inlier."""
        return self._own.judged[:, 0]

    @property
    def nis(self) -> Tensor:
        """(B, N) normalised square of the last reading's difference from the prior and the other sources."""
        return self._own.judged[:, 1]

    @property
    def scale(self) -> Tensor:
        """(B, N) how much larger the noise variance is than claimed, at least 1."""
        own = self._own
        return torch.maximum((own.evidence[:, 3] / own.evidence[:, 2]).clamp(min=1.0), own.floor)

    @property
    def trust(self) -> Tensor:
        """(B, N) 0..1: the Beta's mean minus one standard deviation, divided by the scale."""
        alpha, beta = self._own.evidence[:, 0], self._own.evidence[:, 1]
        mean = alpha / (alpha + beta)
        bound = mean - (mean * (1 - mean) / (alpha + beta + 1)).sqrt()
        return (bound / self.scale).clamp(0.0, 1.0)

    @property
    def num_jumps(self) -> Tensor:
        """(B,) times that the sources rejected the prediction together."""
        return self._rivals.num_won

    @property
    def _own(self) -> Beliefs:
        """The first half: views of the tensors that the next update changes."""
        return self._beliefs.split(self.num_filters)[0]

    def _start(self, name: str, given: np.ndarray | Tensor, shape: tuple[int, ...]) -> Tensor:
        tensor = torch.as_tensor(given, **self._options)
        whole = (self.num_filters, *shape)
        if tuple(tensor.shape) not in (shape, whole):
            raise InputError(f"{name} is {tuple(tensor.shape)}: give {shape} or {whole}")
        return tensor.expand(whole).clone()

    def _doubted(self, belief: Beliefs) -> Beliefs:
        """A copy that a rival begins with: uncertain by the jump, with a part of the evidence."""
        prior = self._constants.prior
        evidence = prior + KEPT_EVIDENCE * (belief.evidence - prior)
        return belief._replace(cov=belief.cov + self._jump, evidence=evidence)

    def _fused(
        self,
        belief: Beliefs,
        values: Tensor,
        present: Tensor,
        measurement: Measurement | None,
        noise_ratio: Tensor | None,
    ) -> Beliefs:
        """H hypotheses of each filter after the readings `values` (B, M, N)."""
        constants, num = self._constants, self.num_filters
        count = len(belief.state) // num
        state = belief.state.unflatten(0, (count, num))
        if measurement is None:
            predicted, rows = torch.einsum("nmd,hbd->hbmn", constants.matrix, state), constants.rows[None]
        else:
            found, matrix = measurement(state)
            predicted = found.mT.expand(count, num, *values.shape[1:])
            whole = (count, num, *constants.matrix.shape)
            own = (matrix * constants.is_row.mT[:, :, None]).expand(whole).flatten(0, 1)
            rows = torch.einsum("nij,knjd->kind", constants.whitener, own)
        innovation = torch.where(present[:, None] & constants.is_row, values - predicted, 0.0).flatten(0, 1)
        present = present.repeat(count, 1)
        variance = constants.variance[None]
        whitened = torch.einsum("nij,kjn->kin", constants.whitener, innovation)
        if noise_ratio is not None:
            ratio = noise_ratio.to(innovation.dtype).repeat(count, 1)
            variance, rows = variance * ratio**2, rows / ratio[:, None, :, None]
            whitened = whitened / ratio[:, None]
        belief = anchor(belief, innovation, variance, present, constants)
        return fuse(belief, whitened, rows, present, constants)

    def _keep(self, own: Beliefs, rival: Beliefs) -> None:
        for kept, new in zip(self._beliefs, Beliefs.joined([own, rival]), strict=True):
            kept.copy_(new)
