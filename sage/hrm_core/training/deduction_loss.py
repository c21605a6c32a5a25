"""The loss of one loop of learned deduction: keep or kill, the places of each symbol, conflict, halting.

Invariant: a state that lost the solution has a conflict loss only; a decided cell has no keep loss.
Shapes: B states, L cells, K interchangeable symbols, V symbols, M lines of n cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sage.hrm_core.model.losses import IGNORED
from sage.hrm_core.model.recurrence import Output
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.deduction_config import DeductionConfig

#: Of `DeductionLoss.means`: averages over the pool.
MEANS = (
    "loss",
    "lm_loss",
    "q_halt_loss",
    "q_continue_loss",
    "keep_loss",
    "conflict_loss",
    "conflict_accuracy",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What a loss compares with: labels (B, L); bits (B, L, K), true_candidates of them; candidates
    (B, L, K) of the states; has_solution (B,), whether they still contain it."""

    labels: Tensor
    bits: Tensor
    candidates: Tensor
    has_solution: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class DeductionLoss:
    """total: the differentiable loss.  means (7,): see MEANS, detached."""

    total: Tensor
    means: Tensor


def deduction_loss(
    output: Output, truth: Truth, lines: Tensor, config: TrainConfig, own: DeductionConfig
) -> DeductionLoss:
    """lines (M, n): cell indices in which each symbol stands once."""
    assert output.logits is not None
    assert output.q_halt is not None
    assert output.keep is not None
    assert output.conflict is not None
    has_solution = truth.has_solution.float()
    num_whole = has_solution.sum().clamp(min=1)

    def of_whole(per_row: Tensor) -> Tensor:
        """Mean over the states that contain the solution."""
        return (per_row * has_solution).sum() / num_whole

    keep = of_whole(keep_loss(output.keep, truth, own))
    logits = output.logits[..., -truth.bits.shape[-1] :].float()  # (B, L, K)
    cells, places = cell_cross_entropy(logits, truth), place_cross_entropy(logits, truth, lines)
    cross_entropy = of_whole(0.5 * (cells + places))
    is_lost = 1.0 - has_solution
    conflict = F.binary_cross_entropy_with_logits(output.conflict, is_lost)
    is_exact = are_exact(output.logits, truth.labels)
    halt = F.binary_cross_entropy_with_logits(output.q_halt, is_exact.to(output.q_halt.dtype))
    total = (
        keep
        + own.cross_entropy_weight * cross_entropy
        + own.conflict_weight * conflict
        + config.q_weight * halt
    )
    detected = ((output.conflict.detach() > 0) == (is_lost > 0)).float().mean()
    means = (total, cross_entropy, halt, torch.zeros_like(halt), keep, conflict, detected)
    return DeductionLoss(total=total, means=torch.stack(means).detach().float())


def keep_loss(keep: Tensor, truth: Truth, own: DeductionConfig) -> Tensor:
    """(B,) weighted binary cross entropy, averaged over the candidates of a state's undecided cells."""
    is_open = truth.candidates & (truth.candidates.sum(-1, keepdim=True) > 1)
    target = truth.bits.float()
    weight = (own.kill_weight + (own.keep_weight - own.kill_weight) * target) * is_open
    each = F.binary_cross_entropy_with_logits(keep, target, reduction="none")
    return (each * weight).flatten(1).sum(1) / is_open.flatten(1).sum(1).clamp(min=1)


def cell_cross_entropy(logits: Tensor, truth: Truth) -> Tensor:
    """(B,) of the true symbol among the candidates of a cell, averaged over undecided cells; logits
    (B, L, K).
    """
    return _averaged(logits, truth.bits, truth.candidates, axis=-1)


def place_cross_entropy(logits: Tensor, truth: Truth, lines: Tensor) -> Tensor:
    """(B,) of the true place among the places a symbol may still have in a line, averaged over undecided
    ones.
    """
    return _averaged(logits[:, lines], truth.bits[:, lines], truth.candidates[:, lines], axis=2)


def are_exact(logits: Tensor, labels: Tensor) -> Tensor:
    """(B,) bool: all cells with a label right, and there is one."""
    is_scored = labels != IGNORED
    is_right = (logits.detach().argmax(-1) == labels) | ~is_scored
    return is_right.all(-1) & is_scored.any(-1)


def _averaged(logits: Tensor, bits: Tensor, candidates: Tensor, *, axis: int) -> Tensor:
    """Cross entropy of the true one among the candidates along `axis`, averaged over the groups that have
    several."""
    log_p = F.log_softmax(logits, dim=axis)
    picked = torch.where(bits, log_p, 0.0).sum(axis)
    is_open = (candidates.sum(axis) > 1) & bits.any(axis)
    return -(picked * is_open).flatten(1).sum(1) / is_open.flatten(1).sum(1).clamp(min=1)
