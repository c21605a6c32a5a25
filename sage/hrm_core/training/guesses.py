"""Training on the states that a search meets: a puzzle that its segments do not solve continues with one cell
more filled in.

The cell is the one that a search branches on (the second choice is most probable), the symbol is the label's.

Invariant: a function of the rows' state and the model's output; no number is drawn.
Shapes: B rows, L cells, V symbols.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from sage.errors import InputError
from sage.hrm_core.model.hrm import ACTState
from sage.hrm_core.model.losses import IGNORED
from sage.hrm_core.model.recurrence import Recurrence
from sage.hrm_core.tasks.contract import TaskSpec
from sage.hrm_core.training.config import TrainConfig


def check_guesses(spec: TaskSpec, config: TrainConfig) -> None:
    """InputError where the task has no blank cells that could be filled in."""
    if config.guesses and spec.blank is None:
        raise InputError(
            f"guesses is {config.guesses}: task {spec.name} has no blank cells to fill in: leave it out"
        )


def num_guessed(state: ACTState, puzzles: Tensor) -> Tensor:
    """(B,) cells that were filled in since the row took its puzzle; puzzles (B, L): as they were taken."""
    return (state.batch.inputs != puzzles).sum(1)


def with_guesses(
    state: ACTState,
    logits: Tensor,
    puzzles: Tensor,
    inner: Recurrence,
    config: TrainConfig,
    *,
    blank: int,
    limit: int,
) -> ACTState:
    """Rows that halted at `limit` segments without the answer restart with one blank cell filled in.

    Such a row has `config.guess_segments` segments left. It ends like any other row once its puzzle is
    solved, or after `config.guesses` cells. logits (B, L, V): of the segment that led to `state`.
    """
    batch = state.batch
    is_open = (batch.inputs == blank) & (batch.labels != IGNORED)
    is_wrong = ((logits.argmax(-1) != batch.labels) & (batch.labels != IGNORED)).any(1)
    continues = (
        state.is_halted
        & (state.num_segments >= limit)
        & is_wrong
        & is_open.any(1)
        & (num_guessed(state, puzzles) < config.guesses)
    )
    second = logits.detach().float().softmax(-1).topk(2, dim=-1).values[..., 1]  # (B, L)
    cell = second.masked_fill(~is_open, -1.0).argmax(1, keepdim=True)  # (B, 1)
    filled = batch.inputs.scatter(1, cell, batch.labels.gather(1, cell).to(batch.inputs.dtype))
    return replace(
        state,
        carry=inner.reset_rows(state.carry, continues),
        batch=replace(batch, inputs=torch.where(continues[:, None], filled, batch.inputs)),
        num_segments=torch.where(continues, max(limit - config.guess_segments, 0), state.num_segments),
        is_halted=state.is_halted & ~continues,
    )
