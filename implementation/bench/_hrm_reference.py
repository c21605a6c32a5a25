"""The published HRM forward, written plainly from its formulas (arXiv 2506.21734), as a peer of ours.

Invariant: the sums of the published code and nothing else: no fused kernel but attention's, every weight cast
at every use, RMS norm and rotation spelt out, segments always run to the last one. It reads the weights of an
`HRM` of ours.
Shapes: B rows, L cells, S = 1 + L tokens, D hidden, A heads, E = D / A.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RMS_EPS = 1e-5
ROPE_THETA = 10000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceSizes:
    """num_puzzle_tokens: in front of the cells, 0 where the model has no puzzle table."""

    hidden_size: int
    num_heads: int
    num_layers: int
    H_cycles: int
    L_cycles: int
    num_tokens: int
    num_puzzle_tokens: int


class CastedLinear(nn.Module):
    """y = x W^T, the weight cast to x's dtype at every call."""

    def __init__(self, in_size: int, out_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_size, in_size))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype))


class ReferenceAttention(nn.Module):
    def __init__(self, sizes: ReferenceSizes) -> None:
        super().__init__()
        self.num_heads = sizes.num_heads
        self.qkv_proj = CastedLinear(sizes.hidden_size, 3 * sizes.hidden_size)
        self.o_proj = CastedLinear(sizes.hidden_size, sizes.hidden_size)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        rows, tokens, size = x.shape
        qkv = self.qkv_proj(x).view(rows, tokens, 3 * self.num_heads, size // self.num_heads)
        q, k, v = qkv.split(self.num_heads, dim=2)  # (B, S, A, E) each
        q, k = rotated(q, cos, sin), rotated(k, cos, sin)
        mixed = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        out: Tensor = self.o_proj(mixed.transpose(1, 2).reshape(rows, tokens, size))
        return out


class ReferenceSwiGLU(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        inner_size = math.ceil(round(4 * size * 2 / 3) / 256) * 256
        self.gate_up_proj = CastedLinear(size, 2 * inner_size)
        self.down_proj = CastedLinear(inner_size, size)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up_proj(x).chunk(2, dim=-1)
        out: Tensor = self.down_proj(F.silu(gate) * up)
        return out


class ReferenceBlock(nn.Module):
    def __init__(self, sizes: ReferenceSizes) -> None:
        super().__init__()
        self.self_attn = ReferenceAttention(sizes)
        self.mlp = ReferenceSwiGLU(sizes.hidden_size)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = rms_normed(x + self.self_attn(x, cos, sin))
        return rms_normed(x + self.mlp(x))


class ReferenceLevel(nn.Module):
    def __init__(self, sizes: ReferenceSizes) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ReferenceBlock(sizes) for _ in range(sizes.num_layers))

    def forward(self, h: Tensor, injection: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        h = h + injection
        for layer in self.layers:
            h = layer(h, cos, sin)
        return h


class Table(nn.Module):
    def __init__(self, num_rows: int, size: int) -> None:
        super().__init__()
        self.embedding_weight = nn.Parameter(torch.empty(num_rows, size))


class ReferenceHRM(nn.Module):
    """z_L = f_L(z_L, z_H + x), L times, then z_H = f_H(z_H, z_L); H times a segment; gradient through the
    last of each.
    """

    H_init: Tensor
    L_init: Tensor
    cos: Tensor
    sin: Tensor

    def __init__(self, sizes: ReferenceSizes, vocab_size: int, *, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.sizes, self.dtype = sizes, dtype
        self.register_buffer("H_init", torch.empty(sizes.hidden_size))
        self.register_buffer("L_init", torch.empty(sizes.hidden_size))
        self.embed_tokens = Table(vocab_size, sizes.hidden_size)
        self.lm_head = CastedLinear(sizes.hidden_size, vocab_size)
        self.q_head = nn.Linear(sizes.hidden_size, 2)
        self.H_level, self.L_level = ReferenceLevel(sizes), ReferenceLevel(sizes)
        self.register_buffer("puzzle_row", torch.zeros(sizes.num_puzzle_tokens, sizes.hidden_size))
        cos, sin = rotations(sizes.num_tokens, sizes.hidden_size // sizes.num_heads)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def start(self, num_rows: int) -> tuple[Tensor, Tensor]:
        """z_H, z_L (B, S, D) afresh."""
        shape = (num_rows, self.sizes.num_tokens, -1)
        z_H, z_L = (init.to(self.dtype).expand(shape).clone() for init in (self.H_init, self.L_init))
        return z_H, z_L

    def segment(self, z_H: Tensor, z_L: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(z_H, z_L, logits (B, L, V), q (B, 2)) after one segment; the states come back detached."""
        x, cos, sin = self.embed(inputs), self.cos, self.sin
        with torch.no_grad():
            for h_step in range(self.sizes.H_cycles):
                is_last_cycle = h_step == self.sizes.H_cycles - 1
                for _ in range(self.sizes.L_cycles - is_last_cycle):
                    z_L = self.L_level(z_L, z_H + x, cos, sin)
                if not is_last_cycle:
                    z_H = self.H_level(z_H, z_L, cos, sin)
        z_L = self.L_level(z_L, z_H + x, cos, sin)
        z_H = self.H_level(z_H, z_L, cos, sin)
        logits = self.lm_head(z_H)[:, self.sizes.num_puzzle_tokens :]
        q = F.linear(z_H[:, 0].float(), self.q_head.weight, self.q_head.bias)
        return z_H.detach(), z_L.detach(), logits, q

    def solve(self, inputs: Tensor, num_segments: int) -> Tensor:
        """Answers (B, L) after so many segments for every row."""
        z_H, z_L = self.start(len(inputs))
        for _ in range(num_segments):
            z_H, z_L, logits, _ = self.segment(z_H, z_L, inputs)
        return logits.argmax(-1)

    def embed(self, inputs: Tensor) -> Tensor:
        cells = F.embedding(inputs, self.embed_tokens.embedding_weight.to(self.dtype))
        front = self.puzzle_row.to(self.dtype).expand(len(inputs), -1, -1)
        return math.sqrt(self.sizes.hidden_size) * torch.cat((front, cells), dim=1)


def rms_normed(x: Tensor) -> Tensor:
    wide = x.float()
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + RMS_EPS)).to(x.dtype)


def rotations(num_tokens: int, head_size: int) -> tuple[Tensor, Tensor]:
    """cos and sin (S, E) of each position's angles, in the rotate-half form."""
    frequencies = ROPE_THETA ** -(torch.arange(0, head_size, 2, dtype=torch.float32) / head_size)
    angles = torch.outer(torch.arange(num_tokens, dtype=torch.float32), frequencies)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x (B, S, A, E), turned in the tables' fp32 and cast back."""
    wide = x.float()
    left, right = wide.chunk(2, dim=-1)
    return (wide * cos[:, None] + torch.cat((-right, left), dim=-1) * sin[:, None]).to(x.dtype)
