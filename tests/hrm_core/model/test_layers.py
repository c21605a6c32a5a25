"""Each layer against its formula, written out with loops."""

from __future__ import annotations

import contextlib
import dataclasses
import math

import pytest
import torch
from torch import Tensor

from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.layers import (
    Attention,
    AttentionBlock,
    GridBlock,
    Linear,
    LinearBlock,
    MixerBlock,
    SwiGLU,
    apply_rope,
    cast_once,
    rope_table,
    truncated_normal_,
)
from sage.hrm_core.model.norms import rms_norm

FRONT = TokenFront(vocab_size=7, seq_len=5)
CONFIG = ModelConfig.preset("loop", front=FRONT, hidden_size=16, num_heads=2, mlp_multiple=16)


def randomised(module: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(3)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return module


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def plain_attention(x: Tensor, qkv: Tensor, out: Tensor, num_heads: int, rope: Tensor | None) -> Tensor:
    """One row (S, D), head by head."""
    size = x.shape[1]
    width = size // num_heads
    heads = []
    for head in range(num_heads):
        q, k, v = (
            x @ qkv[part * size + head * width : part * size + (head + 1) * width].T for part in range(3)
        )
        if rope is not None:
            q, k = apply_rope(q, rope), apply_rope(k, rope)
        heads.append(torch.softmax(q @ k.T / math.sqrt(width), dim=-1) @ v)
    return torch.cat(heads, dim=1) @ out.T


def plain_swiglu(x: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
    inner = down.shape[1]
    gate, up = x @ gate_up[:inner].T, x @ gate_up[inner:].T
    return (gate / (1 + torch.exp(-gate)) * up) @ down.T


def plain_rms(x: Tensor) -> Tensor:
    return torch.stack(
        [row / math.sqrt(float((row**2).mean()) + 1e-5) for row in x.detach().reshape(-1, x.shape[-1])]
    ).view(x.shape)


def test_rms_norm_is_its_formula() -> None:
    x = draw(2, 3, 8) * 5
    torch.testing.assert_close(rms_norm(x, 1e-5), plain_rms(x), atol=1e-6, rtol=1e-6)


def test_rms_norm_computes_in_fp32_and_returns_the_dtype() -> None:
    x = (draw(4, 64) * 300).bfloat16()
    result = rms_norm(x, 1e-5)
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result, rms_norm(x.float(), 1e-5).bfloat16(), atol=0.0, rtol=0.0)


def test_rope_turns_each_pair_by_its_angle() -> None:
    x, width = draw(5, 8), 8
    rotated = apply_rope(x, rope_table(5, width, 10000.0))
    for position in range(5):
        for pair in range(width // 2):
            angle = position * 10000.0 ** (-2 * pair / width)
            left, right = float(x[position, pair]), float(x[position, pair + width // 2])
            assert float(rotated[position, pair]) == pytest.approx(
                left * math.cos(angle) - right * math.sin(angle), abs=1e-5
            )
            assert float(rotated[position, pair + width // 2]) == pytest.approx(
                right * math.cos(angle) + left * math.sin(angle), abs=1e-5
            )


@pytest.mark.parametrize(("num_tokens", "head_dim"), [(82, 64), (916, 64), (17, 32)])
def test_the_rope_table_is_bit_equal_to_the_public_codes(num_tokens: int, head_dim: int) -> None:
    inv_freq = 1.0 / (10000.0 ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim))
    freqs = torch.outer(torch.arange(num_tokens, dtype=torch.float32), inv_freq)
    emb = torch.cat((freqs, freqs), dim=-1)
    cos, sin = rope_table(num_tokens, head_dim, 10000.0)
    assert torch.equal(cos, emb.cos())
    assert torch.equal(sin, emb.sin())


def test_rope_sees_only_relative_positions() -> None:
    table = rope_table(9, 8, 10000.0)
    q, k = draw(8), draw(2, 8)[1]
    products = [float(apply_rope(q, table[:, i + 3]) @ apply_rope(k, table[:, i])) for i in range(6)]
    assert products == pytest.approx([products[0]] * 6, abs=1e-5)


@pytest.mark.parametrize("has_rope", [True, False])
def test_attention_is_its_formula(has_rope: bool) -> None:
    module, x = randomised(Attention(CONFIG, 16)), draw(2, 5, 16)
    assert isinstance(module, Attention)
    rope = rope_table(5, 8, 10000.0) if has_rope else None
    expected = torch.stack(
        [plain_attention(row, module.qkv_proj.weight, module.o_proj.weight, 2, rope) for row in x]
    )
    torch.testing.assert_close(module(x, rope), expected, atol=1e-5, rtol=1e-5)


def test_swiglu_is_its_formula() -> None:
    module, x = randomised(SwiGLU(CONFIG, 16)), draw(2, 5, 16)
    assert isinstance(module, SwiGLU)
    expected = plain_swiglu(x, module.gate_up_proj.weight, module.down_proj.weight)
    torch.testing.assert_close(module(x), expected, atol=1e-5, rtol=1e-5)


def test_an_attention_block_norms_after_each_sum() -> None:
    block, x = randomised(AttentionBlock(CONFIG, 16)), draw(2, 5, 16)
    assert isinstance(block, AttentionBlock)
    h = plain_rms(x + block.self_attn(x, None))
    expected = plain_rms(h + plain_swiglu(h, block.mlp.gate_up_proj.weight, block.mlp.down_proj.weight))
    torch.testing.assert_close(block(x, None), expected, atol=1e-5, rtol=1e-5)


def test_a_mixer_block_mixes_and_norms_over_the_sequence_first() -> None:
    block, x = randomised(MixerBlock(CONFIG, 16)), draw(2, 5, 16)
    assert isinstance(block, MixerBlock)
    across = x.transpose(1, 2)
    h = plain_rms(
        across + plain_swiglu(across, block.mlp_t.gate_up_proj.weight, block.mlp_t.down_proj.weight)
    ).transpose(1, 2)
    expected = plain_rms(h + plain_swiglu(h, block.mlp.gate_up_proj.weight, block.mlp.down_proj.weight))
    torch.testing.assert_close(block(x, None), expected, atol=1e-5, rtol=1e-5)


def test_truncated_normal_has_the_std_it_was_asked_for_after_the_cut() -> None:
    x = truncated_normal_(torch.empty(200_000), 0.25, torch.Generator().manual_seed(0))
    assert float(x.std()) == pytest.approx(0.25, rel=0.01)
    assert float(x.mean()) == pytest.approx(0.0, abs=0.003)
    assert float(x.abs().max()) <= 2 * 0.25 / 0.8796 + 1e-4  # 0.8796: std of a unit normal cut at two sigma


def test_a_normed_gate_is_its_formula() -> None:
    module, x = randomised(SwiGLU(dataclasses.replace(CONFIG, gate="normed"), 16)), draw(2, 5, 16)
    assert isinstance(module, SwiGLU)
    inner = module.down_proj.weight.shape[1]
    gate, up = x @ module.gate_up_proj.weight[:inner].T, x @ module.gate_up_proj.weight[inner:].T
    expected = (plain_rms(gate * up) / (1 + torch.exp(-gate))) @ module.down_proj.weight.T
    torch.testing.assert_close(module(x), expected, atol=1e-5, rtol=1e-5)


def test_a_mixer_normed_over_features_sums_over_the_sequence_and_norms_each_token() -> None:
    block, x = randomised(MixerBlock(dataclasses.replace(CONFIG, mixer_norm="features"), 16)), draw(2, 5, 16)
    assert isinstance(block, MixerBlock)
    mixed = plain_swiglu(
        x.transpose(1, 2), block.mlp_t.gate_up_proj.weight, block.mlp_t.down_proj.weight
    ).transpose(1, 2)
    h = plain_rms(x + mixed)
    expected = plain_rms(h + plain_swiglu(h, block.mlp.gate_up_proj.weight, block.mlp.down_proj.weight))
    torch.testing.assert_close(block(x, None), expected, atol=1e-5, rtol=1e-5)


def test_a_grid_block_sums_over_neighbours_and_over_none_beyond_the_edge() -> None:
    front = TokenFront(vocab_size=7, seq_len=9, positions="none")
    block, x = (
        randomised(GridBlock(dataclasses.replace(CONFIG, front=front, mixer="grid"), 16)),
        draw(2, 9, 16),
    )
    assert isinstance(block, GridBlock)
    inner = block.mlp.gated(x)  # (2, 9, F)
    summed = torch.zeros_like(inner)
    for cell in range(9):
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                row, col = cell // 3 + down, cell % 3 + right
                if 0 <= row < 3 and 0 <= col < 3:
                    summed[:, cell] += (
                        inner[:, 3 * row + col] * block.stencil.weight[:, 0, down + 1, right + 1]
                    )
    expected = plain_rms(x + summed @ block.mlp.down_proj.weight.T)
    torch.testing.assert_close(block(x, None), expected, atol=1e-5, rtol=1e-5)


def test_causal_attention_never_looks_ahead() -> None:
    module, x = randomised(Attention(dataclasses.replace(CONFIG, is_causal=True), 16)), draw(2, 5, 16)
    changed = x.clone()
    changed[:, 3:] += 1.0
    rope = rope_table(5, 8, 10000.0)
    torch.testing.assert_close(module(changed, rope)[:, :3], module(x, rope)[:, :3])
    assert not torch.allclose(module(changed, rope)[:, 3], module(x, rope)[:, 3])


def test_layers_keep_fp64() -> None:
    x = draw(2, 8).double()
    expected = x / ((x**2).mean(-1, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(rms_norm(x, 1e-5), expected, atol=1e-14, rtol=1e-14)


def gradients(linear: Linear, num_calls: int, *, is_cast_once: bool) -> Tensor:
    """Of the sum of so many bf16 calls on different rows, into a weight that has a gradient of ones
    already.
    """
    linear.weight.grad = torch.ones_like(linear.weight)
    with cast_once(linear, torch.bfloat16) if is_cast_once else contextlib.nullcontext():
        for call in range(num_calls):
            linear(draw(3, 6).roll(call).bfloat16()).sum().backward()
    return linear.weight.grad


def test_a_weight_that_is_cast_once_learns_the_same() -> None:
    linear = randomised(Linear(6, 4))
    assert isinstance(linear, Linear)
    assert torch.equal(gradients(linear, 1, is_cast_once=True), gradients(linear, 1, is_cast_once=False))
    several = [gradients(linear, 3, is_cast_once=each) for each in (True, False)]
    torch.testing.assert_close(*several, atol=0.0, rtol=2**-6)  # summed in bf16, or in fp32
    assert several[0].dtype == torch.float32


def test_the_copy_goes_even_when_a_step_fails() -> None:
    linear = randomised(Linear(6, 4))
    assert isinstance(linear, Linear)
    with contextlib.suppress(RuntimeError), cast_once(linear, torch.bfloat16):
        assert linear(draw(2, 6).bfloat16()).dtype == torch.bfloat16
        raise RuntimeError("stop")
    assert linear.cast is None
    assert linear.weight.grad is None


def test_a_frozen_weight_stays_without_gradient() -> None:
    linear = randomised(Linear(6, 4)).requires_grad_(False)
    x = draw(2, 6).bfloat16().requires_grad_()
    with cast_once(linear, torch.bfloat16):
        linear(x).sum().backward()
    assert x.grad is not None
    assert linear.weight.grad is None


def test_a_linear_block_is_one_matrix_over_a_token_and_the_sums_of_its_lines() -> None:
    front = TokenFront(vocab_size=6, seq_len=16, positions="none", alike_from=2)  # 4x4 sudoku
    config = ModelConfig.preset(
        "tiny", front=front, mixer="linear", box=(2, 2), hidden_size=3, num_heads=1, q_source="mean"
    )
    block = LinearBlock(config, 3)
    with torch.no_grad():
        block.proj.weight.copy_(torch.arange(45.0).view(3, 15).sin())
    x = torch.randn(1, 64, 3, generator=torch.Generator().manual_seed(0))
    row, col, digit = 2, 1, 3
    cells = x.view(4, 4, 4, 3)  # row, column, digit
    sums = [
        cells[row, :, digit].sum(0) / 2,
        cells[:, col, digit].sum(0) / 2,
        cells[2:4, 0:2, digit].sum((0, 1)) / 2,
        cells[row, col].sum(0) / 2,
    ]
    expected = block.proj.weight @ torch.cat((cells[row, col, digit], *sums))
    torch.testing.assert_close(block(x, None).view(4, 4, 4, 3)[row, col, digit], expected)


def test_a_linear_block_without_lines_is_one_matrix_over_all_tokens() -> None:
    config = dataclasses.replace(CONFIG, mixer="linear")
    block = LinearBlock(config, 2)
    with torch.no_grad():
        block.proj.weight.copy_(torch.arange(100.0).view(10, 10).cos())
    x = torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(block(x, None).flatten(1), x.flatten(1) @ block.proj.weight.T)
