"""The form for answering alone: what it casts, how it lies in memory, and whether the model it came from is
left.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM, TokenBatch


def build() -> HRM:
    front = TokenFront(vocab_size=6, seq_len=9, num_puzzle_ids=3, puzzle_emb_ndim=32, puzzle_tokens=1)
    return HRM(
        ModelConfig.preset("hrm-27m", front=front, hidden_size=32, num_heads=2, H_layers=1, L_layers=1)
    ).eval()


def logits_of(model: HRM) -> Tensor:
    inputs = torch.arange(18).view(2, 9) % 6
    batch = TokenBatch(inputs=inputs, labels=inputs, puzzle_ids=torch.tensor([0, 2]))
    with torch.no_grad():
        logits = model.segment(model.initial_carry(2), batch)[1].logits
    assert logits is not None
    return logits


def test_a_copy_leaves_its_model_as_it_was() -> None:
    model = build()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fast = model.to_inference()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert all(weight.requires_grad for weight in model.parameters())
    assert not {weight.data_ptr() for weight in model.parameters()} & {
        weight.data_ptr() for weight in fast.parameters()
    }


def test_in_place_it_is_the_same_model_with_the_answers_of_a_copy() -> None:
    model = build()
    expected = logits_of(model.to_inference())
    assert model.to_inference(is_in_place=True) is model
    assert torch.equal(logits_of(model), expected)


def test_matrices_in_bf16_keep_their_shapes_and_lie_transposed_on_a_cpu() -> None:
    model = build()
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    fast = model.to_inference(torch.bfloat16)
    assert {name: tensor.shape for name, tensor in fast.state_dict().items()} == shapes
    assert fast.inner.L_level.layers[0].mlp.down_proj.weight.t().is_contiguous()
    assert fast.inner.embed_tokens.embedding_weight.is_contiguous()


def test_in_fp32_nothing_changes() -> None:
    model = build()
    assert torch.equal(logits_of(model.to_inference(torch.float32)), logits_of(model))
