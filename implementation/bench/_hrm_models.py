"""The models that are timed: hrm-27m as ours and as the plain reference, with the same weights."""

from __future__ import annotations

import torch
from _hrm_reference import ReferenceHRM, ReferenceSizes
from torch import Tensor

from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM, TokenBatch


def our_model() -> HRM:
    """hrm-27m with weights drawn from seed 0."""
    return HRM(ModelConfig.preset("hrm-27m")).eval()


def reference_of(model: HRM, dtype: torch.dtype) -> ReferenceHRM:
    """The plain forward over a copy of `model`'s weights, computing in `dtype`."""
    config, front = model.config, model.config.front
    assert isinstance(front, TokenFront)
    sizes = ReferenceSizes(
        hidden_size=config.hidden_size,
        num_heads=config.num_heads,
        num_layers=config.H_layers,
        H_cycles=config.H_cycles,
        L_cycles=config.L_cycles,
        num_tokens=front.num_tokens,
        num_puzzle_tokens=front.puzzle_tokens,
    )
    reference = ReferenceHRM(sizes, front.vocab_size, dtype=dtype)
    state = {
        name: tensor for name, tensor in model.inner.state_dict().items() if not name.startswith("puzzle_emb")
    }
    state["puzzle_row"] = model.inner.puzzle_emb.weights[:1].view_as(reference.puzzle_row)
    reference.load_state_dict(state)
    return reference


def puzzles(num_rows: int, *, seed: int = 0) -> Tensor:
    """(B, 81) int32 cells of no particular puzzle: a forward costs the same for all."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, 11, (num_rows, 81), generator=generator, dtype=torch.int32)


def batch_of(inputs: Tensor) -> TokenBatch:
    return TokenBatch(inputs=inputs, labels=inputs, puzzle_ids=torch.zeros(len(inputs), dtype=torch.int32))
