"""The pool of states that a model with deduction heads is trained on: each moves on by the model's decisions.

Invariant: a step of the pool is a function of the states, the model's output and the drawn numbers; the
candidates of a given cell never change.
Shapes: B states, L cells, K interchangeable symbols.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sage.hrm_core.config.fronts import TokenFront
from sage.hrm_core.model.candidates import are_given, contain, true_candidates
from sage.hrm_core.model.hrm import ACTState, TokenBatch
from sage.hrm_core.model.recurrence import Carry, Output
from sage.hrm_core.training.deduction_config import DeductionConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """state: the pool after the move.  is_ended (B,): chains that ended.  is_solved (B,): with the solution.
    is_killed (B,): states that lost the solution to a kill of this call.
    """

    state: ACTState
    is_ended: Tensor
    is_solved: Tensor
    is_killed: Tensor


def after_kills(candidates: Tensor, keep: Tensor, inputs: Tensor, front: TokenFront, below: float) -> Tensor:
    """Candidates without those of a keep probability under `below`; a given cell keeps its own."""
    return candidates & ((keep.sigmoid() >= below) | are_given(inputs, front).unsqueeze(-1))


def moved(
    state: ACTState, output: Output, front: TokenFront, own: DeductionConfig, generator: torch.Generator
) -> Moved:
    """Kill, end chains, guess. state.num_segments: calls of each chain, this one included.

    A chain ends where its cells were all decided before this call, one has no candidate, the conflict head
    fires, or it is too old. The call on decided cells trains the conflict head on what it accepts answers
    by. Numbers are drawn on the CPU from `generator`.
    """
    batch = state.batch
    assert batch.candidates is not None
    assert output.keep is not None
    assert output.conflict is not None
    assert output.logits is not None
    truth = true_candidates(batch.labels, front)  # (B, L, K)
    had_solution = contain(batch.candidates, truth)
    candidates = after_kills(batch.candidates, output.keep.detach(), batch.inputs, front, own.kill_below)
    has_solution = contain(candidates, truth)
    num_left = candidates.sum(-1)  # (B, L)
    was_decided = (batch.candidates.sum(-1) == 1).flatten(1).all(1)
    ends = (
        was_decided
        | (num_left == 0).any(1)
        | (output.conflict.detach().sigmoid() > own.conflict_above)
        | (state.num_segments >= torch.where(had_solution, own.max_age, min(own.max_lost, own.max_age)))
    )
    logits = output.logits.detach()[..., -candidates.shape[-1] :].float()
    guesses = _guess(candidates, logits, truth, own, generator)
    state = replace(
        state, batch=replace(batch, candidates=guesses.candidates(candidates, guesses.symbol)), is_halted=ends
    )
    num_pairs = int(own.pair_share * len(candidates)) // 2
    if num_pairs:
        state = _paired(state, candidates, guesses, truth, num_pairs)
    return Moved(
        state=state,
        is_ended=ends,
        is_solved=was_decided & has_solution,
        is_killed=had_solution & ~has_solution,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Guesses:
    """cell, symbol, true_symbol, false_symbol (B,): indices.  is_pairable (B,): whether the state contains
    the solution and has an undecided cell, so that a true and a false guess exist.
    """

    cell: Tensor
    symbol: Tensor
    true_symbol: Tensor
    false_symbol: Tensor
    is_pairable: Tensor

    def candidates(self, before: Tensor, symbol: Tensor) -> Tensor:
        """`before` (B, L, K) with the guessed cell reduced to `symbol` (B,); rows without an undecided cell
        stay.
        """
        rows = torch.arange(len(before), device=before.device)
        one = torch.zeros_like(before[:, 0])
        one[rows, symbol] = True
        after = before.clone()
        has_open = (before[rows, self.cell].sum(-1) > 1).unsqueeze(-1)
        after[rows, self.cell] = torch.where(has_open, one, before[rows, self.cell])
        return after


def _guess(
    candidates: Tensor, logits: Tensor, truth: Tensor, own: DeductionConfig, generator: torch.Generator
) -> _Guesses:
    num_rows, num_cells, num_symbols = candidates.shape
    device = candidates.device
    drawn = torch.rand(num_rows, num_cells + 2 * num_symbols + 1, generator=generator).to(device)
    noise = -(
        -(drawn.clamp(1e-6, 1 - 1e-6)).log()
    ).log()  # Gumbel: the largest of log p + noise is a draw by p
    masked = logits.masked_fill(~candidates, -torch.inf)
    is_open = candidates.sum(-1) > 1  # (B, L)
    scores = noise[:, :num_cells]
    if own.pin == "second":
        p = torch.nan_to_num(masked.softmax(-1))
        scores = scores + p.topk(2, dim=-1).values[..., 1].clamp(min=1e-9).log()
    cell = scores.masked_fill(~is_open, -torch.inf).argmax(1)  # (B,)
    rows = torch.arange(num_rows, device=device)
    choices = masked[rows, cell] / own.temperature  # (B, K)
    is_true = truth[rows, cell] & candidates[rows, cell]  # (B, K)
    has_true = is_true.any(1)
    free = (choices + noise[:, num_cells : num_cells + num_symbols]).argmax(1)
    takes_true = has_true & (drawn[:, -1] < own.pin_true)
    false_choices = choices.masked_fill(is_true, -torch.inf)
    true_symbol = is_true.int().argmax(1)
    return _Guesses(
        cell=cell,
        symbol=torch.where(takes_true, true_symbol, free),
        true_symbol=true_symbol,
        false_symbol=(false_choices + noise[:, num_cells + num_symbols : -1]).argmax(1),
        is_pairable=has_true & is_open[rows, cell] & contain(candidates, truth),
    )


def _paired(
    state: ACTState, candidates: Tensor, guesses: _Guesses, truth: Tensor, num_pairs: int
) -> ACTState:
    """The first 2 num_pairs rows as pairs: row 2 i takes its true guess, row 2 i + 1 becomes a copy of it
    with a false one. A pair whose first row ended, or has nothing to guess, stays as it is.
    """
    num_rows, device = len(candidates), candidates.device
    index = torch.arange(num_rows, device=device)
    is_first = (index < 2 * num_pairs) & (index % 2 == 0)
    pairs = is_first & guesses.is_pairable & ~state.is_halted  # (B,) first rows
    is_copy = torch.roll(pairs, 1)
    source = torch.where(is_copy, index - 1, index)
    true, false = (
        guesses.candidates(candidates, each) for each in (guesses.true_symbol, guesses.false_symbol)
    )
    batch = state.batch
    assert batch.candidates is not None
    bits = torch.where(pairs[:, None, None], true, batch.candidates)
    return ACTState(
        carry=Carry(z_H=state.carry.z_H[source], z_L=state.carry.z_L[source]),
        batch=TokenBatch(
            inputs=batch.inputs[source],
            labels=batch.labels[source],
            puzzle_ids=batch.puzzle_ids[source],
            candidates=torch.where(is_copy[:, None, None], false[source], bits),
        ),
        num_segments=torch.where(is_copy, 0, state.num_segments),
        is_halted=state.is_halted & ~is_copy,
    )
