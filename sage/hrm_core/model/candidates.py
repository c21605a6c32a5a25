"""Candidate sets: which interchangeable symbols each cell of a puzzle may still have.

Invariant: a given cell has one candidate, its own symbol; a set with exactly one candidate is decided.
Shapes: B rows, L cells, K interchangeable symbols (vocab_size - alike_from), V symbols.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sage.errors import InputError
from sage.hrm_core.config.fronts import TokenFront
from sage.hrm_core.model.losses import IGNORED

#: The logit of a symbol that is no candidate: its probability is 0 in every dtype.
DEAD_LOGIT = -1e4


def alike_from(front: TokenFront) -> int:
    """The first interchangeable symbol. InputError where the front has none."""
    if front.alike_from is None:
        raise InputError(
            "alike_from is None: candidates are of interchangeable symbols, give a front with them"
        )
    return front.alike_from


def are_given(inputs: Tensor, front: TokenFront) -> Tensor:
    """(B, L) bool: cells of the puzzle (B, L) that have an interchangeable symbol."""
    return inputs >= alike_from(front)


def candidates_of(inputs: Tensor, front: TokenFront) -> Tensor:
    """(B, L, K) bool: every symbol for a cell without one, only its own for a given cell."""
    symbols = torch.arange(alike_from(front), front.vocab_size, device=inputs.device, dtype=inputs.dtype)
    cells = inputs.unsqueeze(-1)
    return (cells < alike_from(front)) | (cells == symbols)


def without_dead(logits: Tensor, candidates: Tensor) -> Tensor:
    """Logits (B, L, V) with DEAD_LOGIT at the symbols that are no candidates (B, L, K)."""
    num_other = logits.shape[-1] - candidates.shape[-1]
    alike = logits[..., num_other:].masked_fill(~candidates, DEAD_LOGIT)
    return torch.cat((logits[..., :num_other], alike), dim=-1)


def true_candidates(labels: Tensor, front: TokenFront) -> Tensor:
    """(B, L, K) bool: the label's own bit of each cell; none in a cell whose label does not count."""
    symbols = torch.arange(alike_from(front), front.vocab_size, device=labels.device, dtype=labels.dtype)
    return (labels.unsqueeze(-1) == symbols) & (labels != IGNORED).unsqueeze(-1)


def contain(candidates: Tensor, truth: Tensor) -> Tensor:
    """(B,) bool: every bit of the solution (true_candidates) is still a candidate. A row without any label
    has no solution.
    """
    return (candidates | ~truth).flatten(1).all(1) & truth.flatten(1).any(1)
