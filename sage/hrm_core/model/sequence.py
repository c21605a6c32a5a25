"""One segment behind puzzles or continuous sequences: embed, refine, read.

Invariant: parameters and buffers have the names and counts of the published checkpoints.
Shapes: B rows, L cells, P puzzle tokens, S = P + L (L per interchangeable symbol), D hidden, V symbols (or
output_dim).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sage.errors import InputError
from sage.hrm_core.config.model import ContinuousFront, ModelConfig, ObservationFront, TokenFront
from sage.hrm_core.model.candidates import candidates_of, without_dead
from sage.hrm_core.model.deduction_heads import DeductionHeads
from sage.hrm_core.model.layers import Linear, rope_table, truncated_normal_
from sage.hrm_core.model.perturbation import Perturbation
from sage.hrm_core.model.recurrence import Carry, Output, Recurrence


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBatch:
    """inputs (B, L) integers, or (B, L, F) behind a ContinuousFront; labels (B, L), IGNORED where a label
    does not count, or (B, L, output_dim); puzzle_ids (B,), -1 for an unknown puzzle.
    candidates (B, L, K) bool: which of the K interchangeable symbols a cell may still have; None: all for a
    blank cell, its own for a given one (model/candidates.py). Only a model with deduction heads reads them.
    """

    inputs: Tensor
    labels: Tensor
    puzzle_ids: Tensor
    candidates: Tensor | None = None

    def where(self, is_taken: Tensor, other: TokenBatch) -> TokenBatch:
        """Rows of self where is_taken (B,), of other elsewhere."""
        return TokenBatch(
            inputs=_pick(is_taken, self.inputs, other.inputs),
            labels=_pick(is_taken, self.labels, other.labels),
            puzzle_ids=torch.where(is_taken, self.puzzle_ids, other.puzzle_ids),
            candidates=_pick_both(is_taken, self.candidates, other.candidates),
        )


class Embedding(nn.Module):
    """A table that is read by row."""

    def __init__(self, num_rows: int, size: int) -> None:
        super().__init__()
        self.embedding_weight = nn.Parameter(torch.empty(num_rows, size))  # (rows, D)

    def forward(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.embedding_weight)


class InputProjection(nn.Module):
    """Real vectors to the scale of an embedding: variance 1 / D for inputs of variance 1."""

    def __init__(self, in_size: int, out_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_size, in_size))  # (D, F)
        self.bias = nn.Parameter(torch.empty(out_size))  # (D,)

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator) -> None:
        truncated_normal_(self.weight, self.weight.numel() ** -0.5, generator)
        self.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.to(self.weight.dtype), self.weight, self.bias)


class PuzzleEmbedding(nn.Module):
    """One fp32 row a puzzle. Not a parameter: it has its own optimizer (sign-SGD on touched rows) and can be
    larger than the model.

    After `weights.requires_grad_()` its gradient is sparse; `coalesce` sums equal ids. An id of -1 reads the
    mean row, which `eval()` and loading update.
    """

    weights: Tensor
    mean_row: Tensor

    def __init__(self, num_ids: int, ndim: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.zeros(num_ids, ndim))  # (N, ndim)
        self.register_buffer("mean_row", torch.zeros(ndim), persistent=False)  # (ndim,)
        self.register_load_state_dict_post_hook(  # type: ignore[no-untyped-call]
            lambda module, _: module.refresh()
        )

    @torch.no_grad()
    def refresh(self) -> None:
        self.mean_row.copy_(self.weights.mean(0))

    def train(self, mode: bool = True) -> PuzzleEmbedding:
        if not mode:
            self.refresh()
        return super().train(mode)

    def forward(self, ids_B: Tensor) -> Tensor:
        rows = F.embedding(ids_B.clamp(min=0), self.weights, sparse=True)  # (B, ndim)
        return torch.where(ids_B[:, None] < 0, self.mean_row, rows)


class QHead(nn.Module):
    """[halt, continue] from one token or a mean of them, in fp32 (fp64 stays)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(2, size))  # (2, D)
        self.bias = nn.Parameter(torch.empty(2))  # (2,)

    def forward(self, x_BD: Tensor) -> Tensor:
        dtype = torch.promote_types(x_BD.dtype, torch.float32)
        return F.linear(x_BD.to(dtype), self.weight.to(dtype), self.bias.to(dtype))


class SequenceReasoner(Recurrence):
    """Embeds a row of cells, refines, reads logits and Q values: one segment is `reasoner(carry, batch)`."""

    rope: Tensor | None

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        if isinstance(config.front, ObservationFront):
            raise TypeError(
                "front is an ObservationFront: HRM needs a TokenFront or a ContinuousFront (sensors:"
                " ObservationModel)"
            )
        self.front = front = config.front
        size = config.hidden_size
        if isinstance(front, TokenFront):
            self.embed_tokens = Embedding(
                front.vocab_size if front.alike_from is None else front.alike_from + 2, size
            )
            if front.puzzle_emb_ndim:
                self.puzzle_emb = PuzzleEmbedding(front.num_puzzle_ids, front.puzzle_emb_ndim)
        else:
            self.embed_inputs = InputProjection(front.input_dim, size)
        self.lm_head = Linear(size, _num_outputs(front))
        self.q_head = QHead(size)
        if config.heads == "deduction":
            self.deduction_heads = DeductionHeads(size)
        if front.positions == "learned":
            self.embed_pos = Embedding(front.puzzle_tokens + front.seq_len, size)
        table = (
            rope_table(front.num_tokens, config.head_dim, config.rope_theta) if config.has_rope else None
        )  # (2, S, E)
        self.register_buffer("rope", table, persistent=False)

    @torch.no_grad()
    def replace_front(self, config: ModelConfig, generator: torch.Generator) -> None:
        """Read vectors (ContinuousFront) in place of symbols: a fresh projection; nets and heads are
        unchanged.
        """
        front = config.front
        if not isinstance(front, ContinuousFront) or front.output_dim != self.lm_head.weight.shape[0]:
            raise InputError(f"front is {front}: give a ContinuousFront with the outputs of this model")
        weight = self.lm_head.weight
        del self.embed_tokens
        self.config = config
        self.front = front
        self.embed_inputs = InputProjection(front.input_dim, config.hidden_size)
        self.embed_inputs.init_weights(generator)
        self.embed_inputs.to(weight.device, weight.dtype)
        if config.has_rope:
            table = rope_table(front.num_tokens, config.head_dim, config.rope_theta)  # (2, S, E)
            self.rope = table.to(weight.device)

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator) -> None:
        """
        nets, H_init, L_init    as in Recurrence.init_recurrence; lm_head too: std 1/sqrt(D)
        embed_tokens, embed_pos truncated normal, std 1/sqrt(D)
        embed_inputs            truncated normal, std 1/sqrt(F D); bias 0
        puzzle_emb              0
        q_head                  weight 0, bias -5
        deduction_heads         weight 0, bias 2 (keep), -2 (conflict)
        """
        self.init_recurrence(generator)
        for module in self.modules():
            if isinstance(module, Embedding):
                truncated_normal_(module.embedding_weight, self.config.hidden_size**-0.5, generator)
            elif isinstance(module, InputProjection):
                module.init_weights(generator)
            elif isinstance(module, PuzzleEmbedding):
                module.weights.zero_()
        self.q_head.weight.zero_()
        self.q_head.bias.fill_(-5.0)
        if self.config.heads == "deduction":
            self.deduction_heads.init_weights()

    def forward(
        self, carry: Carry, batch: TokenBatch, perturbation: Perturbation | None = None
    ) -> tuple[Carry, Output]:
        """The returned carry is detached: a gradient never crosses a segment boundary."""
        carry, output = self.attached(carry, batch, perturbation)
        return carry.detach(), output

    def attached(
        self, carry: Carry, batch: TokenBatch, perturbation: Perturbation | None = None
    ) -> tuple[Carry, Output]:
        """The same with a carry that a gradient crosses, for a loss over several segments."""
        candidates = self._candidates(batch)
        x_BSD = self._embed(batch, candidates)
        rope = None if self.rope is None else self.rope[:, : x_BSD.shape[1]]
        carry = self.refine(carry, x_BSD, rope, perturbation)
        q_B2 = self._read_q(carry.z_H)
        logits = self._read_logits(carry.z_H[:, self.front.puzzle_tokens :])  # (B, L, V)
        keep = conflict = None
        if candidates is not None:
            logits = without_dead(logits, candidates)
            keep, conflict = self.deduction_heads(carry.z_H, candidates)
        return carry, Output(
            logits=logits, q_halt=q_B2[:, 0], q_continue=q_B2[:, 1], keep=keep, conflict=conflict
        )

    def _candidates(self, batch: TokenBatch) -> Tensor | None:
        """(B, L, K) bool, the batch's or those of its inputs; None for a model without deduction heads."""
        if self.config.heads == "answer":
            if batch.candidates is not None:
                raise InputError(
                    "candidates: this model has no deduction heads: leave them out, or build it with heads"
                    " deduction"
                )
            return None
        if batch.candidates is not None:
            return batch.candidates
        assert isinstance(self.front, TokenFront)
        return candidates_of(batch.inputs, self.front)

    def _read_q(self, z_H: Tensor) -> Tensor:
        """(B, 2), as the config's q_source says."""
        token = -1 if self.config.is_causal else 0
        q_B2: Tensor = self.q_head(z_H.mean(1) if self.config.q_source == "mean" else z_H[:, token])
        return q_B2

    def _read_logits(self, z_BSD: Tensor) -> Tensor:
        """(B, L, V). An interchangeable symbol is read from its own token, the others from the mean of the
        cell's.
        """
        out: Tensor = self.lm_head(z_BSD)
        front = self.front
        if isinstance(front, TokenFront) and front.alike_from is not None:
            out = out.unflatten(1, (-1, front.tokens_per_cell))  # (B, L, alike, alike_from + 1)
            return torch.cat((out[..., :-1].mean(2), out[..., -1]), dim=-1)
        return out

    def embed(self, batch: TokenBatch) -> Tensor:
        """(B, S, D): puzzle tokens, then cells, of variance 1; with learned positions each summand has half
        of it.
        """
        return self._embed(batch, self._candidates(batch))

    def _embed(self, batch: TokenBatch, candidates: Tensor | None) -> Tensor:
        self._check_length(batch.inputs.shape[1])
        front = self.front
        x_BSD: Tensor
        if isinstance(front, ContinuousFront):
            x_BSD = self.embed_inputs(batch.inputs)
        else:
            x_BSD = self.embed_tokens(_kinds(batch.inputs, front, candidates)).flatten(1, -2)
        if isinstance(front, TokenFront) and front.puzzle_emb_ndim:
            x_BSD = self._with_puzzle(x_BSD, batch.puzzle_ids)
        if front.positions == "learned":
            places: Tensor = self.embed_pos.embedding_weight  # (P + L, D)
            if isinstance(front, TokenFront) and front.alike_from is not None:
                places = places.repeat_interleave(front.tokens_per_cell, dim=0)
            x_BSD = (x_BSD + places[: x_BSD.shape[1]]) * math.sqrt(0.5)
        return (x_BSD * math.sqrt(self.config.hidden_size)).to(self.H_init.dtype)

    def _with_puzzle(self, x_BLD: Tensor, ids_B: Tensor) -> Tensor:
        """(B, P + L, D): the puzzle's embedding as tokens before the cells; without tokens, added to each
        cell.
        """
        num_tokens, size = self.front.puzzle_tokens, self.config.hidden_size
        rows = self.puzzle_emb(ids_B)
        rows = F.pad(rows, (0, max(1, num_tokens) * size - rows.shape[1])).type_as(x_BLD)
        if not num_tokens:
            return x_BLD + rows[:, None]
        return torch.cat((rows.view(-1, num_tokens, size), x_BLD), dim=1)

    def _check_length(self, num_cells: int) -> None:
        longest, is_tied = self.front.seq_len, self.config.mixer != "attention"
        if num_cells > longest or (is_tied and num_cells < longest):
            most = "" if is_tied else "at most "
            raise InputError(
                f"inputs have {num_cells} cells: this model takes {most}{longest}, build one with another"
                " seq_len"
            )


def _kinds(inputs_BL: Tensor, front: TokenFront, candidates: Tensor | None = None) -> Tensor:
    """Rows of embed_tokens: (B, L, 1), the cells; or, with interchangeable symbols, (B, L, alike): the cell's
    symbol if it is not interchangeable, else whether it is the token's own. A value that is no symbol stays
    unchanged and has no row. A token that is no candidate has the row of a cell with another symbol.
    """
    cells, first = inputs_BL.unsqueeze(-1), front.alike_from
    if first is None:
        return cells
    symbols = torch.arange(first, front.vocab_size, device=cells.device)
    kinds = torch.where(
        (cells < first) | (cells >= front.vocab_size), cells, first + (cells != symbols).to(cells.dtype)
    )
    return kinds if candidates is None else torch.where(candidates, kinds, first + 1)


def _num_outputs(front: TokenFront | ContinuousFront) -> int:
    """Rows of lm_head: interchangeable symbols share one."""
    if isinstance(front, ContinuousFront):
        return front.output_dim
    return front.vocab_size if front.alike_from is None else front.alike_from + 1


def _pick_both(is_taken: Tensor, ours: Tensor | None, theirs: Tensor | None) -> Tensor | None:
    if ours is None and theirs is None:
        return None
    if ours is None or theirs is None:
        raise InputError("candidates are in one of two batches only: give them in both or in neither")
    return _pick(is_taken, ours, theirs)


def _pick(is_taken: Tensor, ours: Tensor, theirs: Tensor) -> Tensor:
    return torch.where(is_taken.view(-1, *[1] * (ours.dim() - 1)), ours, theirs)
