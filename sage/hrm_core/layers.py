"""The pieces of one network: RMS norm, RoPE, attention, SwiGLU, post-norm blocks.

Invariant: no bias, no norm weight, no dropout; parameters are named as in the published checkpoints.
Shapes: B rows, S tokens, D hidden, A heads, E = D / A, F the inner width of a SwiGLU.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from sage.hrm_core.config import ModelConfig


def rms_norm(x: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) over the last axis, in fp32, back in x's dtype."""
    return F.rms_norm(x.float(), x.shape[-1:], eps=eps).type_as(x)


def rope_table(num_tokens: int, head_dim: int, theta: float) -> Tensor:
    """cos and sin of position * theta^(-2i/E), for the rotate-half form: (2, S, E) fp32."""
    frequency = theta ** -(torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)  # (E/2,)
    angle = torch.arange(num_tokens, dtype=torch.float32)[:, None] * frequency  # (S, E/2)
    return torch.stack((angle.cos(), angle.sin())).repeat(1, 1, 2)


def apply_rope(x: Tensor, rope: Tensor) -> Tensor:
    """Rotate x (..., S, E) by its position; rope (2, S, E)."""
    left, right = x.chunk(2, dim=-1)
    return (x * rope[0] + torch.cat((-right, left), dim=-1) * rope[1]).type_as(x)


def truncated_normal_(tensor: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """Normal cut at two sigma, widened so that the std after the cut is `std` (jax.nn.initializers does the same)."""
    edge = math.erf(math.sqrt(2.0))  # P(|x| < 2 sigma)
    density = math.exp(-2.0) / math.sqrt(2.0 * math.pi)
    sigma = std / math.sqrt(1.0 - 4.0 * density / edge)
    with torch.no_grad():
        tensor.uniform_(-edge, edge, generator=generator).erfinv_().mul_(math.sqrt(2.0) * sigma)
        return tensor.clamp_(-2.0 * sigma, 2.0 * sigma)


class Linear(nn.Module):
    """y = x W^T. Allocated, not drawn: `init_weights` of the model is the only place that draws."""

    def __init__(self, in_size: int, out_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_size, in_size))  # (out, in)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight)


class Attention(nn.Module):
    """Every token looks at every token. One projection makes q, k, v of all heads.

    On CPU at S 10, E 32 scaled_dot_product_attention takes 0.5x the time of the eager form: it is the only path.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.num_heads = config.num_heads
        self.qkv_proj = Linear(size, 3 * size)  # all q heads, all k heads, all v heads
        self.o_proj = Linear(size, size)

    def forward(self, x_BSD: Tensor, rope: Tensor | None) -> Tensor:
        qkv = rearrange(self.qkv_proj(x_BSD), "b s (three a e) -> three b a s e", three=3, a=self.num_heads)
        q_BASE, k_BASE, v_BASE = qkv.unbind(0)
        if rope is not None:
            q_BASE, k_BASE = apply_rope(qkv[:2], rope).unbind(0)
        mixed_BASE = F.scaled_dot_product_attention(q_BASE, k_BASE, v_BASE)  # scale 1 / sqrt(E)
        out_BSD: Tensor = self.o_proj(rearrange(mixed_BASE, "b a s e -> b s (a e)"))
        return out_BSD


class SwiGLU(nn.Module):
    """down(silu(gate) * up) over the last axis."""

    def __init__(self, size: int, inner_size: int) -> None:
        super().__init__()
        self.gate_up_proj = Linear(size, 2 * inner_size)  # gate first, up second
        self.down_proj = Linear(inner_size, size)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up_proj(x).chunk(2, dim=-1)  # (..., F) each
        out: Tensor = self.down_proj(F.silu(gate) * up)
        return out


class AttentionBlock(nn.Module):
    """h = rms(h + Attention(h)); h = rms(h + SwiGLU(h))."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.eps = config.rms_eps
        self.self_attn = Attention(config)
        self.mlp = SwiGLU(config.hidden_size, config.inner_size(config.hidden_size))

    def forward(self, x_BSD: Tensor, rope: Tensor | None) -> Tensor:
        x_BSD = rms_norm(x_BSD + self.self_attn(x_BSD, rope), self.eps)
        return rms_norm(x_BSD + self.mlp(x_BSD), self.eps)


class MixerBlock(nn.Module):
    """The same with a SwiGLU over the sequence, normed over the sequence: ties the weights to one S, needs no positions."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.eps = config.rms_eps
        num_tokens = config.front.num_tokens
        self.mlp_t = SwiGLU(num_tokens, config.inner_size(num_tokens))
        self.mlp = SwiGLU(config.hidden_size, config.inner_size(config.hidden_size))

    def forward(self, x_BSD: Tensor, rope: Tensor | None) -> Tensor:
        x_BDS = x_BSD.transpose(1, 2)
        x_BSD = rms_norm(x_BDS + self.mlp_t(x_BDS), self.eps).transpose(1, 2)
        return rms_norm(x_BSD + self.mlp(x_BSD), self.eps)


class Net(nn.Module):
    """f(h, injection): the blocks, on their sum."""

    def __init__(self, config: ModelConfig, num_layers: int) -> None:
        super().__init__()
        block = AttentionBlock if config.mixer == "attention" else MixerBlock
        self.layers = nn.ModuleList(block(config) for _ in range(num_layers))

    def forward(self, h_BSD: Tensor, injection_BSD: Tensor, rope: Tensor | None) -> Tensor:
        h_BSD = h_BSD + injection_BSD
        for layer in self.layers:
            h_BSD = layer(h_BSD, rope)
        return h_BSD
