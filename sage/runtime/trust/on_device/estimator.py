"""The trust estimator in torch: evidence in, trust out, without a value that the host reads.

The formulas are those of `trust/steps.py`, of all sources at once, and of any number of groups of sources
beside each other; the state is exchanged with `TrustEstimator`. `update` changes tensors in place and has no
branch that depends on a value, so that a CUDA graph can record it. Invariant: each group has the results of a
`TrustEstimator` with its evidence, to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sage.errors import InputError
from sage.runtime.config import TrustConfig
from sage.runtime.trust.by_context import MAX_SHARE, MIN_SHARE
from sage.runtime.trust.estimator import STATE
from sage.runtime.trust.on_device.runs import Runs
from sage.runtime.trust.rules import (
    BAD_RECORD,
    CHI2_ROOT_MEAN,
    CHI2_ROOT_STD,
    CONTEXT_RELIEF,
    MIN_EXPLAINED,
    MIN_NOISE_RATE,
    MIN_REJECTED,
    NOISE_FORGETTING,
    NOISE_WARMUP,
    REJECTED_FORGETTING,
    REJECTED_NIS,
    REJECTED_SHARE,
    RESTED_DOUBT,
    SHIFT_FORGETTING,
    SHIFT_RATE,
    SHIFT_TICKS,
)

MAX_LOG_ODDS = 50.0
MIN_VARIANCE = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorEvidence:
    """One tick's evidence on the estimator's device, all (N,) or (G, N); as in `contract.Evidence`."""

    fresh: Tensor
    innovation_sq: Tensor
    level_sq: Tensor
    self_error_sq: Tensor
    is_repeat: Tensor
    own_doubt: Tensor | None = None
    is_tied: Tensor | None = None


class DeviceTrust:
    """N sources, in each of G groups that do not affect each other. `trust` is a lower confidence bound in
    0..1.

    num_groups: None is one group, whose tensors are (N,); with a number they are (G, N).  dtype: float64, or
    float32 with about six digits.
    """

    def __init__(
        self,
        num_sources: int,
        config: TrustConfig,
        *,
        num_groups: int | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> None:
        if dtype not in (torch.float64, torch.float32):
            raise InputError(f"dtype is {dtype}: give torch.float64 or torch.float32")
        self._config = config
        shape = (num_sources,) if num_groups is None else (num_groups, num_sources)
        self._device, self._dtype, self._shape = torch.device(device), dtype, shape
        self.alpha = self._full(config.prior_inlier)
        self.beta = self._full(config.prior_outlier)
        self.scale_a, self.scale_b = self._full(config.prior_scale), self._full(config.prior_scale)
        self.responsibility, self.nis = self._full(1.0), self._full(torch.nan)
        self.doubt, self.verdict = self._full(0.0), self._full(torch.nan)
        self._moments = torch.stack([self._full(0.0)] * 4)
        self._num_judged = self._full(0.0).to(torch.int64)
        self._is_explained = self._full(0.0).to(torch.bool)
        self._rejected = self._full(0.0)
        self._shift = self._num_judged[..., :1].clone()
        self._runs = Runs(self._full(0.0), config.stuck_window)
        self._doubt_kept, self._num_relieved = self._full(1.0), self._num_judged.clone()
        self._is_bad_here = self._is_explained.clone()
        self._untested = self._full(torch.nan)
        self._all_tied = ~self._is_explained

    def update(self, evidence: TensorEvidence) -> None:
        """Learn from one tick's evidence; sources without a fresh reading do not change."""
        self._check(evidence)
        fresh, runs = evidence.fresh, self._runs
        tied = self._all_tied if evidence.is_tied is None else evidence.is_tied
        own = self._untested if evidence.own_doubt is None else self._relieved(evidence.own_doubt, fresh)
        is_changed = self._is_shift()
        shift = torch.where(is_changed, SHIFT_TICKS, (self._shift - 1).clamp(min=0))
        self._shift.copy_(shift)
        is_shift = (shift > 0) & ~self._is_bad_here
        is_known = ~own.isnan()
        doubt = torch.where(is_known, own, 0.0)
        is_rested = is_known & (doubt < RESTED_DOUBT)  # its own record has longer runs
        runs.update(fresh, evidence.is_repeat, evidence.self_error_sq, is_rested)
        stuck = runs.is_stuck
        rho, nis = self._judge(evidence, stuck, is_shift)
        is_judged = ~nis.isnan()
        is_beyond = (nis > REJECTED_NIS).to(self._dtype)
        beyond = REJECTED_FORGETTING * self._rejected + (1 - REJECTED_FORGETTING) * is_beyond
        _put(self._rejected, fresh & is_judged, beyond)
        # Only sources that the others predict can be contradicted by them: an unusual level is no evidence.
        explained = tied & (self._moments[2] < (1 - MIN_EXPLAINED) * self._moments[3])
        _put(self._is_explained, fresh, explained)
        _put(self.doubt, fresh, doubt)
        _put(self.nis, fresh, nis)
        is_compared = explained & is_judged & ~is_shift
        right = (1.0 - doubt) * torch.where(is_compared, self._verdict_of(nis), 1.0)
        verdict = torch.where(stuck, 0.0, torch.where(is_compared | is_known, right, torch.nan))
        self.verdict.copy_(torch.where(fresh, verdict, torch.nan))
        is_evidence = fresh & (stuck | (explained & is_judged))
        rho = torch.where(stuck, 0.0, rho)
        is_forgotten = is_evidence & is_shift & ~stuck
        is_own = fresh & ~is_evidence & is_rested
        self._believe(is_evidence & ~is_forgotten, is_own, is_forgotten, rho, nis)
        _put(self.responsibility, is_evidence, rho)

    def change_context(self, before: Tensor, after: Tensor, left: Tensor) -> None:
        """As in TrustForm: the evidence moves by the difference of the two records."""
        config = self._config
        low, high = before.clamp(MIN_SHARE, MAX_SHARE), after.clamp(MIN_SHARE, MAX_SHARE)
        moved = torch.log(high / (1 - high)) - torch.log(low / (1 - low))
        is_moved, keep = moved != 0, torch.exp(-moved.clamp(min=0.0))
        total, share = self.alpha + self.beta, self.share
        new = 1 / (1 + (1 - share) / share * torch.exp(-moved))
        new = torch.where(moved > 0, torch.minimum(new, torch.maximum(share, left.clamp(max=MAX_SHARE))), new)
        new = torch.where(moved < 0, torch.maximum(new, share.clamp(max=MIN_SHARE)), new)
        prior_weight = config.prior_inlier + config.prior_outlier
        weight = prior_weight + (total - prior_weight) * torch.exp(-moved.abs())
        _put(self.alpha, is_moved, weight * new)
        _put(self.beta, is_moved, weight * (1 - new))
        scale_weight = config.prior_scale + (self.scale_a - config.prior_scale) * keep
        scale = 1 + (self.scale - 1) * keep
        _put(self.scale_a, moved > 0, scale_weight)
        _put(self.scale_b, moved > 0, scale_weight * scale)
        self._is_bad_here.copy_(after < BAD_RECORD)
        _put(self._doubt_kept, is_moved, keep)
        _put(self._num_relieved, is_moved, torch.full_like(self._num_relieved, CONTEXT_RELIEF))

    @property
    def trust(self) -> Tensor:
        """The Beta's mean minus one standard deviation, over the scale, times 1 - the doubt."""
        mean = self.share
        deviation = (mean * (1 - mean) / (self.alpha + self.beta + 1)).sqrt()
        return ((mean - deviation) / self.scale * (1 - self.doubt)).clamp(0.0, 1.0)

    @property
    def share(self) -> Tensor:
        """The Beta's mean."""
        return self.alpha / (self.alpha + self.beta)

    @property
    def scale(self) -> Tensor:
        """How much larger a source's noise is than its own normal; at least 1."""
        return (self.scale_b / self.scale_a).clamp(min=1.0)

    @property
    def is_stuck(self) -> Tensor:
        """bool"""
        return self._runs.is_stuck

    @property
    def is_judged(self) -> Tensor:
        """bool, whether there was evidence for or against each source."""
        return (self.alpha != self._config.prior_inlier) | (self.beta != self._config.prior_outlier)

    @property
    def noise(self) -> Tensor:
        """Normal mean squared innovation of each source, 0 while unknown."""
        return torch.where(self._num_judged >= NOISE_WARMUP, self._moments[2], 0.0)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All that `update` changes, in place."""
        counts = (self._num_judged, self._is_explained, self._rejected, self._shift, self._num_relieved)
        evidence = (self.alpha, self.beta, self.scale_a, self.scale_b, self._moments)
        last = (self.responsibility, self.nis, self.doubt, self.verdict)
        return (*evidence, *last, *counts, *self._runs.tensors)

    def state(self) -> dict[str, np.ndarray]:
        """Copies on the host of what a snapshot contains, as of `TrustEstimator.state`; of G groups with G
        before N in each shape. This call waits for the device.
        """
        return {name: tensor.detach().cpu().numpy().copy() for name, tensor in self._saved().items()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what `state` returned, or what that of a `TrustEstimator` did, for every group."""
        for name, kept in self._saved().items():
            given = torch.as_tensor(np.asarray(state[name]), dtype=kept.dtype, device=self._device)
            if len(self._shape) == 2 and given.dim() == kept.dim() - 1:
                given = given.unsqueeze(-2)
            one_group = (*kept.shape[:-2], 1, kept.shape[-1]) if len(self._shape) == 2 else kept.shape
            if given.shape not in (kept.shape, one_group):
                raise InputError(f"{name} is {tuple(np.shape(state[name]))}: give {tuple(kept.shape)}")
            kept.copy_(given.expand_as(kept))

    def _saved(self) -> dict[str, Tensor]:
        runs = self._runs
        own = {"_repeats": runs.repeats, "_longest_run": runs.longest, "_self_moments": runs.self_moments}
        return {name: own[name] if name in own else getattr(self, name) for name in STATE}

    def _full(self, value: float) -> Tensor:
        return torch.full(self._shape, value, device=self._device, dtype=self._dtype)

    def _check(self, evidence: TensorEvidence) -> None:
        for name in ("fresh", "innovation_sq", "level_sq", "self_error_sq", "is_repeat"):
            given = getattr(evidence, name)
            if tuple(given.shape) != self._shape:
                raise InputError(f"{name} is {tuple(given.shape)}: give {self._shape}")

    def _relieved(self, own_doubt: Tensor, fresh: Tensor) -> Tensor:
        """The own doubt, less where a source has just left a context in which it was worse."""
        self._num_relieved.copy_((self._num_relieved - fresh.to(torch.int64)).clamp(min=0))
        return own_doubt * torch.where(self._num_relieved > 0, self._doubt_kept, 1.0)

    def _is_shift(self) -> Tensor:
        """(1,) or (G, 1) whether most sources that the others explain contradict the prediction at once."""
        is_explained = self._is_explained & ~self._runs.is_stuck
        is_rejected = is_explained & (self._rejected > REJECTED_SHARE)
        num, num_rejected = (each.sum(dim=-1, keepdim=True) for each in (is_explained, is_rejected))
        return (num_rejected >= MIN_REJECTED) & (2 * num_rejected > num)

    def _judge(self, evidence: TensorEvidence, stuck: Tensor, is_shift: Tensor) -> tuple[Tensor, Tensor]:
        """Probability that each reading is an inlier, 1 where it cannot be judged, and its NIS; learns the
        source's normal size.
        """
        ratio, square = self._config.outlier_ratio, evidence.innovation_sq.to(self._dtype)
        is_measured = evidence.fresh & ~square.isnan()
        square = square.clamp(min=0.0)
        root = square ** (1 / 3)
        is_learning = self._num_judged < NOISE_WARMUP  # outliers are defined once the normal size is known
        _put(self._num_judged, is_measured, self._num_judged + 1)
        mean, mean_square = self._moments[0], self._moments[1]
        deviation = (mean_square - mean * mean).clamp(min=MIN_VARIANCE).sqrt()
        nis = (CHI2_ROOT_MEAN + CHI2_ROOT_STD * (root - mean) / deviation).clamp(min=0.0) ** 3
        prior, scale = self.share, self.scale
        log_inlier = -0.5 * (nis / scale + scale.log())
        log_outlier = -0.5 * (nis / ratio + math.log(ratio))
        odds = (log_outlier - log_inlier).clamp(-MAX_LOG_ODDS, MAX_LOG_ODDS)
        rho = 1 / (1 + (1 - prior) / prior * odds.exp())
        rate = torch.where(stuck, 0.0, (1 - NOISE_FORGETTING) * rho.clamp(min=MIN_NOISE_RATE))
        rate = torch.where(is_shift & ~stuck, SHIFT_RATE, rate)
        count = self._num_judged.clamp(min=1).to(self._dtype)
        rate = torch.where(is_learning, 1 / count, rate)
        seen = torch.stack([root, root * root, square, evidence.level_sq.to(self._dtype)])
        is_moved = is_measured & (rate > 0)
        _put(self._moments, is_moved.expand_as(seen), self._moments + rate * (seen - self._moments))
        is_judged = is_measured & ~is_learning
        return torch.where(is_judged, rho, 1.0), torch.where(is_judged, nis, torch.nan)

    def _verdict_of(self, nis: Tensor) -> Tensor:
        """Probability of an inlier under the prior alone: the source's own trust has no part in it."""
        config, ratio = self._config, self._config.outlier_ratio
        odds = 0.5 * (nis * (1 - 1 / ratio) - math.log(ratio))
        odds = odds.clamp(-MAX_LOG_ODDS, MAX_LOG_ODDS)
        return 1 / (1 + config.prior_outlier / config.prior_inlier * odds.exp())

    def _believe(
        self, is_believed: Tensor, is_own: Tensor, is_forgotten: Tensor, rho: Tensor, nis: Tensor
    ) -> None:
        """Beta on outliers and inverse gamma on scale: by the evidence, by the own record, back to priors."""
        config = self._config
        keep = torch.where(is_forgotten, SHIFT_FORGETTING, torch.full_like(rho, config.forgetting))
        excess = torch.where(nis.isnan() | is_own, 1.0, nis.clamp(max=config.outlier_ratio))
        gained = torch.where(is_forgotten, 0.0, torch.where(is_own, 1.0, rho))
        missed = torch.where(is_forgotten, 0.0, 1 - gained)
        is_changed = is_believed | is_own | is_forgotten
        for kept, prior, more in (
            (self.alpha, config.prior_inlier, gained),
            (self.beta, config.prior_outlier, missed),
            (self.scale_a, config.prior_scale, gained),
            (self.scale_b, config.prior_scale, gained * excess),
        ):
            _put(kept, is_changed, keep * kept + (1 - keep) * prior + more)


def _put(kept: Tensor, where: Tensor, new: Tensor) -> None:
    """`new` into `kept`, in place, at the places `where`."""
    kept.copy_(torch.where(where, new, kept))
