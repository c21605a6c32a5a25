"""The loss of one segment and its metrics: cross entropy over cells, halting loss, accuracies of finished
rows.

Invariant: with q_weight 0.5 and no smoothing the total equals `losses.act_loss`; accuracies count finished
rows only, losses all rows.
Shapes: B rows, L cells, V symbols.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sage.hrm_core.model.losses import IGNORED, log_stablemax
from sage.hrm_core.model.recurrence import Output
from sage.hrm_core.training.config import TrainConfig

#: The entries of `SegmentLoss.readout`: means over all rows, then sums over finished rows that have labels.
READOUT = (
    "loss",
    "lm_loss",
    "q_halt_loss",
    "q_continue_loss",
    "count",
    "accuracy",
    "exact_accuracy",
    "q_halt_accuracy",
    "steps",
)
NUM_MEANS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentLoss:
    """total: the differentiable loss.  readout (9,): see READOUT, detached."""

    total: Tensor
    readout: Tensor


def segment_loss(
    output: Output,
    labels: Tensor,
    config: TrainConfig,
    *,
    num_segments: Tensor,
    is_halted: Tensor,
    q_continue: Tensor | None = None,
) -> SegmentLoss:
    """The loss of one segment. labels (B, L); num_segments, is_halted (B,); q_continue (B,): target of HRM's
    second Q value.
    """
    assert output.logits is not None
    assert output.q_halt is not None
    is_valid = labels != IGNORED  # (B, L)
    num_valid = is_valid.sum(-1)  # (B,)
    is_right = (output.logits.detach().argmax(-1) == labels) & is_valid
    num_right = is_right.sum(-1)
    is_exact = (num_right == num_valid) & (num_valid > 0)

    cross_entropy = _cross_entropy(output.logits, labels, is_valid, num_valid, config)
    halt = F.binary_cross_entropy_with_logits(output.q_halt, is_exact.to(output.q_halt.dtype))
    continue_loss = torch.zeros_like(halt)
    if q_continue is not None:
        assert output.q_continue is not None
        continue_loss = F.binary_cross_entropy_with_logits(output.q_continue, q_continue)
    total = cross_entropy + config.q_weight * (halt + continue_loss)

    is_counted = (is_halted & (num_valid > 0)).float()
    figures = (
        torch.ones_like(is_counted),
        num_right / num_valid.clamp(min=1),
        is_exact,
        (output.q_halt.detach() >= 0) == is_exact,
        num_segments,
    )
    sums = torch.stack([(figure * is_counted).sum() for figure in figures])
    means = torch.stack((total, cross_entropy, halt, continue_loss)).detach().float()
    return SegmentLoss(total=total, readout=torch.cat((means, sums.float())))


def _cross_entropy(
    logits: Tensor, labels: Tensor, is_valid: Tensor, num_valid: Tensor, config: TrainConfig
) -> Tensor:
    """Mean over rows of the mean over a row's valid cells, with label smoothing over all symbols."""
    log_p = (
        log_stablemax(logits)
        if config.cross_entropy == "stablemax"
        else F.log_softmax(logits.float(), dim=-1)
    )
    picked = log_p.gather(-1, labels.clamp(min=0).long().unsqueeze(-1)).squeeze(-1)  # (B, L)
    if config.label_smoothing:
        picked = torch.lerp(picked, log_p.mean(-1), config.label_smoothing)
    return -((picked * is_valid).sum(-1) / num_valid.clamp(min=1)).mean()
