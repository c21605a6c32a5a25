"""What a segment is judged by: cross entropies over cells, Q losses, halting targets.

Invariant: computed in fp32 whatever the logits' dtype (fp64 stays); a row counts once, however many of its
cells are valid.
Shapes: B rows, L cells, V symbols.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from sage.hrm_core.model.recurrence import Output

#: A label that does not count.
IGNORED = -100
CrossEntropyKind = Literal["stablemax", "softmax"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ACTLoss:
    """total = cross_entropy + 0.5 (q_halt + q_continue); is_exact (B,): every valid cell right."""

    total: Tensor
    cross_entropy: Tensor
    q_halt: Tensor
    q_continue: Tensor
    is_exact: Tensor


def log_stablemax(logits: Tensor) -> Tensor:
    """log(s(x) / sum s) with s(x) = x + 1 for x >= 0, 1 / (1 - x) below (arXiv 2501.04697).

    log s is log1p(|x|) with x's sign, so this is a log-softmax of it, and fp32 is exact where the papers took
    fp64.
    """
    x = _at_least_fp32(logits)
    log_s = torch.where(x >= 0, x.clamp(min=0).log1p(), -(-x).clamp(min=0).log1p())
    return F.log_softmax(log_s, dim=-1)


def token_cross_entropy(logits: Tensor, labels: Tensor, kind: CrossEntropyKind = "stablemax") -> Tensor:
    """Mean over a row's valid cells: logits (B, L, V), labels (B, L) -> (B,); 0 for a row without any."""
    log_p = log_stablemax(logits) if kind == "stablemax" else F.log_softmax(_at_least_fp32(logits), dim=-1)
    is_valid = labels != IGNORED
    picked = log_p.gather(-1, labels.clamp(min=0).long().unsqueeze(-1)).squeeze(-1)  # (B, L)
    return -(picked * is_valid).sum(-1) / is_valid.sum(-1).clamp(min=1)


def is_exact(logits: Tensor, labels: Tensor) -> Tensor:
    """(B,) bool: all valid cells right, and there are some."""
    is_valid = labels != IGNORED
    return ((logits.argmax(-1) == labels) | ~is_valid).all(-1) & is_valid.any(-1)


def q_continue_target(next_q_halt: Tensor, next_q_continue: Tensor, is_last: Tensor) -> Tensor:
    """sigmoid(last ? next halt : max(next halt, next continue)), (B,) (HRM eq. 11)."""
    return torch.where(is_last, next_q_halt, torch.maximum(next_q_halt, next_q_continue)).sigmoid()


def act_loss(
    output: Output, labels: Tensor, *, q_continue: Tensor | None = None, kind: CrossEntropyKind = "stablemax"
) -> ACTLoss:
    """Loss of one segment. q_continue (B,): the target of HRM's `next_q_continue`, or None as in TRM."""
    assert output.logits is not None
    assert output.q_halt is not None
    assert output.q_continue is not None
    exact = is_exact(output.logits, labels)
    cross_entropy = token_cross_entropy(output.logits, labels, kind).mean()
    halt = F.binary_cross_entropy_with_logits(output.q_halt, exact.to(output.q_halt.dtype))
    go_on = torch.zeros_like(halt)
    if q_continue is not None:
        go_on = F.binary_cross_entropy_with_logits(output.q_continue, q_continue)
    total = cross_entropy + 0.5 * (halt + go_on)
    return ACTLoss(total=total, cross_entropy=cross_entropy, q_halt=halt, q_continue=go_on, is_exact=exact)


def regression_loss(output: Output, targets: Tensor, *, tolerance: float) -> ACTLoss:
    """Loss of one segment behind a ContinuousFront that speaks numbers: logits, targets (B, L, output_dim),
    NaN where a number does not count. cross_entropy is the mean squared error; a row is exact with every
    number within `tolerance`."""
    assert output.logits is not None
    assert output.q_halt is not None
    is_valid = targets.isfinite()
    error = torch.where(is_valid, _at_least_fp32(output.logits) - targets.nan_to_num(), 0.0).flatten(1)
    num_valid = is_valid.flatten(1).sum(1)
    squared = (error.square().sum(1) / num_valid.clamp(min=1)).mean()
    exact = (error.detach().abs() <= tolerance).all(1) & (num_valid > 0)
    halt = F.binary_cross_entropy_with_logits(output.q_halt, exact.to(output.q_halt.dtype))
    return ACTLoss(
        total=squared + 0.5 * halt,
        cross_entropy=squared,
        q_halt=halt,
        q_continue=torch.zeros_like(halt),
        is_exact=exact,
    )


def halt_target(error: Tensor, next_error: Tensor, *, least_gain: float = 0.01) -> Tensor:
    """1 where one more segment would improve the error by no more than `least_gain` of it, else 0; any equal
    shapes. An error of 0 cannot be improved.
    """
    return (next_error >= (1.0 - least_gain) * error).to(error.dtype)


def _at_least_fp32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
