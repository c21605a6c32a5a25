"""The logits are the same with and without a cache, token by token; each token costs its own calls only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sage.hrm_core.config.model import ModelConfig
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.model.layers import SwiGLU
from sage.hrm_core.text.decoding import CachedGPT, CachedHRM, Decoder, UncachedGPT, UncachedHRM
from sage.hrm_core.text.gpt import PlainGPT

MakeConfig = Callable[..., ModelConfig]
TOKENS = torch.tensor([[5, 9, 200, 3, 3, 81, 7, 0, 255, 12], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]])


def logits_of(decoder: Decoder, parts: tuple[int, ...]) -> Tensor:
    """Logits after each part."""
    return torch.stack([decoder.extend(part) for part in TOKENS.split(parts, dim=1)])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"positions": "learned"},
        {"H_cycles": 2, "L_cycles": 3, "shares_nets": False, "H_layers": 2, "gate": "silu"},
        {"shares_nets": False, "L_hidden_size": 16},
        {"damping": 0.3},
        {"front": {"puzzle_tokens": 2, "puzzle_emb_ndim": 40, "num_puzzle_ids": 3}},
    ],
    ids=[
        "shared nets",
        "learned positions",
        "two nets, more cycles",
        "two widths",
        "damping",
        "puzzle tokens",
    ],
)
def test_hrm_returns_the_same_logits_with_a_cache(text_config: MakeConfig, changes: dict[str, Any]) -> None:
    model = HRM(text_config(**changes), generator=torch.Generator().manual_seed(2)).double().eval()
    if model.inner.rope is not None:
        model.inner.rope = model.inner.rope.double()
    parts = (4, 1, 1, 2, 1, 1)
    cached = logits_of(CachedHRM(model, num_segments=3, num_rows=2), parts)
    torch.testing.assert_close(
        cached, logits_of(UncachedHRM(model, num_segments=3, num_rows=2), parts), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("positions", ["rope", "learned"])
def test_the_baseline_returns_the_same_logits_with_a_cache(text_config: MakeConfig, positions: str) -> None:
    model = PlainGPT(text_config(positions=positions)).eval()
    parts = (4, 1, 3, 1, 1)
    cached = logits_of(CachedGPT(model, num_rows=2), parts)
    torch.testing.assert_close(cached, logits_of(UncachedGPT(model, num_rows=2), parts), rtol=1e-4, atol=1e-4)


def test_a_new_token_costs_its_own_calls_only(text_config: MakeConfig) -> None:
    """Tokens that pass through the blocks' SwiGLU, counted: 3 segments of 2 L calls and 1 H call, one block
    each.
    """
    model = HRM(text_config()).eval()
    seen: list[int] = []
    for module in model.modules():
        if isinstance(module, SwiGLU):
            module.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].shape[1]))
    decoder = CachedHRM(model, num_segments=3, num_rows=2)
    decoder.extend(TOKENS[:, :6])
    assert (len(seen), set(seen)) == (9, {6})
    seen.clear()
    decoder.extend(TOKENS[:, 6:7])
    assert (len(seen), set(seen)) == (9, {1})


def test_num_bytes_is_the_size_of_the_cache(text_config: MakeConfig) -> None:
    """9 lanes of keys and values, 24 tokens of 32 numbers in fp32."""
    assert CachedHRM(HRM(text_config()), num_segments=3).num_bytes == 9 * 2 * 24 * 32 * 4


def test_a_model_that_is_not_causal_is_refused(text_config: MakeConfig) -> None:
    with pytest.raises(ValueError, match="is_causal is False"):
        CachedHRM(HRM(text_config(is_causal=False)), num_segments=1)
