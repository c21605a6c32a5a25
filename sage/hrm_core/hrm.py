"""Puzzles: the token front end, and adaptive computation time (ACT) around it.

Invariant: parameters and buffers bear the names of the published checkpoints, and their numbers match to the unit.
Shapes: B rows, L cells, P puzzle tokens, S = P + L, D hidden, V symbols.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sage.hrm_core.config import ModelConfig, TokenFront
from sage.hrm_core.layers import Linear, rope_table, truncated_normal_
from sage.hrm_core.losses import q_continue_target
from sage.hrm_core.recurrence import Carry, Output, Recurrence


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBatch:
    """inputs, labels (B, L) integers, IGNORED where a label does not count; puzzle_ids (B,), -1 for an unknown puzzle."""

    inputs: Tensor
    labels: Tensor
    puzzle_ids: Tensor

    def where(self, is_taken: Tensor, other: TokenBatch) -> TokenBatch:
        """Rows of self where is_taken (B,), of other elsewhere."""
        return TokenBatch(
            inputs=torch.where(is_taken[:, None], self.inputs, other.inputs),
            labels=torch.where(is_taken[:, None], self.labels, other.labels),
            puzzle_ids=torch.where(is_taken, self.puzzle_ids, other.puzzle_ids),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ACTState:
    """Rows under way: carry, the puzzle each row works on, segments done (B,), and whether it halted (B,)."""

    carry: Carry
    batch: TokenBatch
    num_segments: Tensor
    is_halted: Tensor


class Embedding(nn.Module):
    """A table that is read by row."""

    def __init__(self, num_rows: int, size: int) -> None:
        super().__init__()
        self.embedding_weight = nn.Parameter(torch.empty(num_rows, size))  # (rows, D)

    def forward(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.embedding_weight)


class PuzzleEmbedding(nn.Module):
    """One fp32 row a puzzle. Not a parameter: it has its own rule (sign-SGD on touched rows) and can outweigh the model.

    A trainer calls `weights.requires_grad_()` and finds a sparse gradient there, equal ids summed by `coalesce`.
    An id of -1 reads the mean row, kept fresh by `eval()` and by loading.
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
    """[halt, continue] from the first token, in fp32."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(2, size))  # (2, D)
        self.bias = nn.Parameter(torch.empty(2))  # (2,)

    def forward(self, x_BD: Tensor) -> Tensor:
        return F.linear(x_BD.float(), self.weight.float(), self.bias.float())


class TokenReasoner(Recurrence):
    """Embeds a puzzle, refines, reads logits and Q values: one segment is `reasoner(carry, batch)`."""

    rope: Tensor | None

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        if not isinstance(config.front, TokenFront):
            raise TypeError(f"front is a {type(config.front).__name__}: HRM needs a TokenFront (sensors: ObservationModel)")
        self.front = front = config.front
        size = config.hidden_size
        self.embed_tokens = Embedding(front.vocab_size, size)
        self.lm_head = Linear(size, front.vocab_size)
        self.q_head = QHead(size)
        if front.puzzle_emb_ndim:
            self.puzzle_emb = PuzzleEmbedding(front.num_puzzle_ids, front.puzzle_emb_ndim)
        if front.positions == "learned":
            self.embed_pos = Embedding(front.num_tokens, size)
        has_rope = front.positions == "rope" and config.mixer == "attention"
        table = rope_table(front.num_tokens, config.head_dim, config.rope_theta) if has_rope else None  # (2, S, E)
        self.register_buffer("rope", table, persistent=False)

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator) -> None:
        """
        nets, H_init, L_init    as in Recurrence.init_recurrence; lm_head too: std 1/sqrt(D)
        embed_tokens, embed_pos truncated normal, std 1/sqrt(D)
        puzzle_emb              0
        q_head                  weight 0, bias -5
        """
        self.init_recurrence(generator)
        for module in self.modules():
            if isinstance(module, Embedding):
                truncated_normal_(module.embedding_weight, self.config.hidden_size**-0.5, generator)
        if self.front.puzzle_emb_ndim:
            self.puzzle_emb.weights.zero_()
        self.q_head.weight.zero_()
        self.q_head.bias.fill_(-5.0)

    def forward(self, carry: Carry, batch: TokenBatch) -> tuple[Carry, Output]:
        """The carry comes back detached: deep supervision never reaches through a segment."""
        carry = self.refine(carry, self.embed(batch), self.rope)
        q_B2 = self.q_head(carry.z_H[:, 0])
        logits = self.lm_head(carry.z_H[:, self.front.puzzle_tokens :])  # (B, L, V)
        return carry.detach(), Output(logits=logits, q_halt=q_B2[:, 0], q_continue=q_B2[:, 1])

    def embed(self, batch: TokenBatch) -> Tensor:
        """(B, S, D): puzzle tokens, then cells; learned positions halve the variance of each summand."""
        front, size = self.front, self.config.hidden_size
        x_BSD: Tensor = self.embed_tokens(batch.inputs)
        if front.puzzle_emb_ndim:
            rows = F.pad(self.puzzle_emb(batch.puzzle_ids), (0, front.puzzle_tokens * size - front.puzzle_emb_ndim))
            x_BSD = torch.cat((rows.view(-1, front.puzzle_tokens, size).type_as(x_BSD), x_BSD), dim=1)
        if front.positions == "learned":
            x_BSD = (x_BSD + self.embed_pos.embedding_weight) * math.sqrt(0.5)
        return x_BSD * math.sqrt(size)


class HRM(nn.Module):
    """A TokenReasoner under ACT: each call is one segment for every row.

    Halted rows start afresh on the incoming batch; the others go on with the puzzle they have and ignore it.
    """

    def __init__(self, config: ModelConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.inner = TokenReasoner(config)
        self.inner.init_weights(generator or torch.Generator().manual_seed(0))

    def initial_carry(self, batch_size: int, device: torch.device | str | None = None) -> Carry:
        return self.inner.initial_carry(batch_size, device)

    def segment(self, carry: Carry, batch: TokenBatch) -> tuple[Carry, Output]:
        """One segment without halting."""
        carry, output = self.inner(carry, batch)
        return carry, output

    def initial_state(self, batch: TokenBatch) -> ACTState:
        """All rows halted, so that the first call takes every row of its batch."""
        num_rows, device = batch.inputs.shape[0], batch.inputs.device
        return ACTState(
            carry=self.initial_carry(num_rows, device),
            batch=batch,
            num_segments=torch.zeros(num_rows, dtype=torch.int32, device=device),
            is_halted=torch.ones(num_rows, dtype=torch.bool, device=device),
        )

    def forward(
        self, state: ACTState, batch: TokenBatch, *, halts_early: bool | None = None, generator: torch.Generator | None = None
    ) -> tuple[ACTState, Output]:
        """One segment. halts_early: by the Q head, before halt_max_segments; unset it means `self.training`.

        In training, exploration draws from `generator` (CPU): a row then halts no sooner than a drawn segment.
        """
        if self.training and self.config.halt_exploration > 0 and generator is None:
            raise ValueError("generator is None: exploration draws in training, give a torch.Generator or halt_exploration 0")
        batch = batch.where(state.is_halted, state.batch)
        carry, output = self.segment(self.inner.reset_rows(state.carry, state.is_halted), batch)
        num_segments = torch.where(state.is_halted, 0, state.num_segments) + 1
        is_halted = num_segments >= self.config.halt_max_segments
        if self.training if halts_early is None else halts_early:
            is_halted = is_halted | self.wants_halt(output)
        if self.training and generator is not None:
            is_halted = is_halted & (num_segments >= self._least_segments(num_segments, generator))
        return ACTState(carry=carry, batch=batch, num_segments=num_segments, is_halted=is_halted), output

    def wants_halt(self, output: Output) -> Tensor:
        """(B,) bool: HRM's rule halt > continue, or TRM's halt > 0."""
        assert output.q_halt is not None
        bar = output.q_continue if self.config.has_q_continue else torch.zeros_like(output.q_halt)
        assert bar is not None
        return (output.q_halt > bar).detach()

    @torch.no_grad()
    def next_q_continue(self, state: ACTState) -> Tensor:
        """The target of q_continue after the segment that led to `state`, from one segment more: (B,) in 0..1."""
        _, output = self.segment(state.carry, state.batch)
        assert output.q_halt is not None
        assert output.q_continue is not None
        is_last = state.num_segments >= self.config.halt_max_segments
        return q_continue_target(output.q_halt, output.q_continue, is_last)

    def _least_segments(self, num_segments: Tensor, generator: torch.Generator) -> Tensor:
        """(B,): with probability halt_exploration a number in 2..halt_max_segments, else 0."""
        limit, shape = self.config.halt_max_segments, num_segments.shape
        explores = torch.rand(shape, generator=generator) < self.config.halt_exploration
        least = torch.randint(min(2, limit), limit + 1, shape, generator=generator)
        return (explores * least).to(num_segments.device)
