"""Which sources are stuck, in torch: runs of repeats and self-prediction errors, by `trust/steps.py`.

Invariant: a source without a fresh reading does not change.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sage.runtime.trust.rules import (
    LONG_RUN,
    LONGEST_FORGETTING,
    MAX_RUN,
    MIN_MOVES,
    MIN_RUN,
    NOISE_FORGETTING,
    NORMAL_LOW,
    REPEAT_FORGETTING,
    REPEAT_ODDS,
)

MIN_MEAN = 1e-300  # of errors; float32 has its smallest normal number
MIN_RELATIVE_VARIANCE = 1e-6


class Runs:
    """Of sources as many as `zeros` has elements, (N,) or (G, N); shapes are equal to its shape unless noted.

    is_stuck: bool.  repeats: (2, ..) Beta counts of repeats and moves.  longest: longest healthy run.
    self_moments: (2, ..) running mean and mean square of the self-prediction error.
    """

    def __init__(self, zeros: Tensor, num_window: int) -> None:
        self.is_stuck = torch.zeros_like(zeros, dtype=torch.bool)
        self.repeats = torch.stack([zeros + 1.0, zeros + 3.0])  # Beta(1, 3) on "a healthy reading repeats"
        self.longest = zeros.clone()
        self.self_moments = torch.stack([zeros, zeros])
        self._run, self._num_fresh = zeros.clone(), zeros.to(torch.int64)
        self._window = torch.stack([zeros + torch.nan] * num_window)  # (W, ..) the last errors
        slots = torch.arange(num_window, device=zeros.device)
        self._slots = slots.reshape(-1, *[1] * zeros.dim())
        self._least = max(MIN_MEAN, torch.finfo(zeros.dtype).tiny)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All that `update` changes, in place."""
        runs = (self.is_stuck, self.repeats, self.longest, self._run)
        return (*runs, self.self_moments, self._num_fresh, self._window)

    def update(self, fresh: Tensor, is_repeat: Tensor, error: Tensor, is_rested: Tensor) -> None:
        """is_rested: bool, the source's own record has longer runs than this one."""
        has_moved, is_same = fresh & ~is_repeat, fresh & is_repeat
        num_moved = has_moved.sum(dim=-1, keepdim=True)
        self._num_fresh.add_(fresh)
        self._count(fresh, has_moved)
        is_flat = self._is_flat(fresh, error.to(self._run.dtype))
        is_tested = (num_moved > 0) & (self._num_fresh > len(self._window))
        is_frozen = is_tested & is_same & self._is_frozen(is_flat)
        is_free = has_moved | (fresh & is_rested)
        self.is_stuck.copy_(~is_free & (self.is_stuck | is_frozen))

    def _count(self, fresh: Tensor, has_moved: Tensor) -> None:
        """Runs of exact repeats. Only runs that ended are healthy: they enter the Beta and the longest."""
        longest = torch.where(fresh, LONGEST_FORGETTING * self.longest, self.longest)
        ended = self._run.clamp(max=MAX_RUN)
        counted = REPEAT_FORGETTING * self.repeats + torch.stack([ended, torch.ones_like(ended)])
        self.repeats.copy_(torch.where(has_moved, counted, self.repeats))
        self.longest.copy_(torch.where(has_moved, torch.maximum(ended, longest), longest))
        self._run.copy_(torch.where(has_moved, 0.0, self._run + fresh))

    def _is_frozen(self, is_flat: Tensor) -> Tensor:
        """Whether the current run of repeats is too long for this source."""
        repeats, moves = self.repeats.unbind(0)
        is_long = (moves > MIN_MOVES) & (self._run > MIN_RUN + LONG_RUN * self.longest)
        return is_long & (is_flat | ((repeats / (repeats + moves)) ** self._run < REPEAT_ODDS))

    def _is_flat(self, fresh: Tensor, error: Tensor) -> Tensor:
        """Whether the mean of the last self-prediction errors is below the 1% quantile of its chi-square."""
        is_measured = fresh & ~error.isnan()
        size = len(self._window)
        is_slot = is_measured & (self._slots == self._num_fresh % size)
        self._window.copy_(torch.where(is_slot, error, self._window))
        step = (1 / self._num_fresh.clamp(min=1).to(error.dtype)).clamp(min=1 - NOISE_FORGETTING)
        moved = self.self_moments + step * (torch.stack([error, error * error]) - self.self_moments)
        self.self_moments.copy_(torch.where(is_measured & ~self.is_stuck, moved, self.self_moments))
        total = self._window.sum(dim=0)
        mean, square = self.self_moments.unbind(0)
        relative = (square / (mean * mean).clamp(min=self._least) - 1).clamp(min=MIN_RELATIVE_VARIANCE)
        width = 2 / (9 * (2 * size / relative))
        bound = (1 - width - NORMAL_LOW * width.sqrt()).clamp(min=0.0) ** 3
        return is_measured & (total / size / mean.clamp(min=self._least) < bound)
