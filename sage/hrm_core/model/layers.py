"""The pieces of one network: RMS norm, RoPE, attention, SwiGLU, post-norm blocks.

Invariant: no bias, no norm weight, no dropout; parameters are named as in the published checkpoints.
Shapes: B rows, S tokens, D hidden, A heads, E = D / A, F the inner width of a SwiGLU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.attention import AttentionName, attend
from sage.hrm_core.model.lines import Square, is_for_kernels, load_loops, mix
from sage.hrm_core.model.norms import add_norm, normed_gate


def rope_table(num_tokens: int, head_dim: int, theta: float) -> Tensor:
    """cos and sin of position * theta^(-2i/E), for the rotate-half form: (2, S, E) fp32.

    The operations are those of the public HRM code, in its order, so that the table is bit-equal to its
    table.
    """
    frequency = 1.0 / theta ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)  # (E/2,)
    angle = torch.outer(torch.arange(num_tokens, dtype=torch.float32), frequency)  # (S, E/2)
    angle = torch.cat((angle, angle), dim=-1)
    return torch.stack((angle.cos(), angle.sin()))


def apply_rope(x: Tensor, rope: Tensor) -> Tensor:
    """Rotate x (..., S, E) by its position; rope (2, S, E)."""
    left, right = x.chunk(2, dim=-1)
    return (x * rope[0] + torch.cat((-right, left), dim=-1) * rope[1]).type_as(x)


def truncated_normal_(tensor: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """Normal cut at two sigma, widened so that the std after the cut is `std` (jax.nn.initializers does the
    same).
    """
    edge = math.erf(math.sqrt(2.0))  # P(|x| < 2 sigma)
    density = math.exp(-2.0) / math.sqrt(2.0 * math.pi)
    sigma = std / math.sqrt(1.0 - 4.0 * density / edge)
    with torch.no_grad():
        tensor.uniform_(-edge, edge, generator=generator).erfinv_().mul_(math.sqrt(2.0) * sigma)
        return tensor.clamp_(-2.0 * sigma, 2.0 * sigma)


class Linear(nn.Module):
    """y = x W^T in x's dtype. Allocated, not drawn: `init_weights` of the model is the only place that draws.

    cast: W in another dtype for the time of `cast_once`; None: W is cast at each call.
    """

    cast: Tensor | None = None

    def __init__(self, in_size: int, out_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_size, in_size))  # (out, in)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight_in(x.dtype))

    def weight_in(self, dtype: torch.dtype) -> Tensor:
        return (self.weight if self.cast is None else self.cast).to(dtype)


@contextmanager
def cast_once(model: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Inside, each Linear multiplies by one copy of its weight in `dtype`, which accumulates the gradients of
    all its calls.

    At the end they are added to the gradients of the weights, one at a time. A loss that is still referenced
    keeps the copies in memory.
    """
    linears = [module for module in model.modules() if isinstance(module, Linear)]
    try:
        for linear in linears:
            linear.cast = linear.weight.detach().to(dtype).requires_grad_(linear.weight.requires_grad)
        yield
        for linear in linears:
            _hand_over(linear)
    finally:
        for linear in linears:
            linear.cast = None


def _hand_over(linear: Linear) -> None:
    """The gradient of the copy to the weight; the copy goes."""
    assert linear.cast is not None
    gradient, linear.cast = linear.cast.grad, None
    if gradient is not None:
        wide = gradient.to(linear.weight.dtype)
        linear.weight.grad = wide if linear.weight.grad is None else linear.weight.grad.add_(wide)


class Attention(nn.Module):
    """Every token attends to every token, or under is_causal to those up to itself. One projection makes q,
    k, v of all heads.

    backend: None takes the machine's choice (attention.py); on CPU at S 10, E 32 torch's fused kernel takes
    0.5x the time of the eager form.
    """

    backend: AttentionName | None = None

    def __init__(self, config: ModelConfig, size: int) -> None:
        super().__init__()
        self.num_heads = size // config.head_dim
        self.is_causal = config.is_causal
        self.qkv_proj = Linear(size, 3 * size)  # all q heads, all k heads, all v heads
        self.o_proj = Linear(size, size)

    def forward(self, x_BSD: Tensor, rope: Tensor | None) -> Tensor:
        qkv = rearrange(self.qkv_proj(x_BSD), "b s (three a e) -> three b a s e", three=3, a=self.num_heads)
        q_BASE, k_BASE, v_BASE = qkv.unbind(0)
        if rope is not None:
            q_BASE, k_BASE = apply_rope(qkv[:2], rope).unbind(0)
        mixed_BASE = attend(q_BASE, k_BASE, v_BASE, is_causal=self.is_causal, backend=self.backend)
        out_BSD: Tensor = self.o_proj(rearrange(mixed_BASE, "b a s e -> b s (a e)"))
        return out_BSD


class SwiGLU(nn.Module):
    """down(silu(g) * u) over the last axis; normed: down(sigmoid(g) * rms(g * u)), whose product cannot
    outgrow its weights.

    in_size: of what goes in, where it is more than what comes out.
    """

    def __init__(self, config: ModelConfig, size: int, *, in_size: int | None = None) -> None:
        super().__init__()
        inner_size = config.inner_size(size)
        self.is_normed, self.eps = config.gate == "normed", config.rms_eps
        self.gate_up_proj = Linear(in_size or size, 2 * inner_size)  # gate first, up second
        self.down_proj = Linear(inner_size, size)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(self.gated(x))
        return out

    def gated(self, x: Tensor) -> Tensor:
        """(..., F), before the way down."""
        return self.gate(self.gate_up_proj(x))

    def gate(self, gate_up: Tensor) -> Tensor:
        """(..., F) of (..., 2 F)."""
        if self.is_normed:
            return normed_gate(gate_up, self.eps)
        gate, up = gate_up.chunk(2, dim=-1)
        return F.silu(gate) * up


class Stencil(nn.Module):
    """Each channel of each cell becomes a sum over its 3x3 neighbours, by weights of the channel's own; none
    beyond the edge.
    """

    def __init__(self, side: int, size: int) -> None:
        super().__init__()
        self.side = side
        self.weight = nn.Parameter(torch.empty(size, 1, 3, 3))

    def forward(self, x_BSF: Tensor) -> Tensor:
        num_rows, num_channels = x_BSF.shape[0], x_BSF.shape[-1]
        grid = x_BSF.view(num_rows, self.side, self.side, num_channels).permute(
            0, 3, 1, 2
        )  # a view: channels stay innermost
        summed = F.conv2d(grid, self.weight.to(x_BSF.dtype), padding=1, groups=num_channels)
        return summed.permute(0, 2, 3, 1).reshape(x_BSF.shape)


class AttentionBlock(nn.Module):
    """h = rms(h + Attention(h)); h = rms(h + SwiGLU(h))."""

    def __init__(self, config: ModelConfig, size: int) -> None:
        super().__init__()
        self.eps = config.rms_eps
        self.may_round = config.gate == "normed"  # published models need the bits of torch's operations
        self.self_attn = Attention(config, size)
        self.mlp = SwiGLU(config, size)

    def forward(self, x_BSD: Tensor, rope: Tensor | None) -> Tensor:
        x_BSD = add_norm(x_BSD, self.self_attn(x_BSD, rope), self.eps, may_round=self.may_round)
        return add_norm(x_BSD, self.mlp(x_BSD), self.eps, may_round=self.may_round)


class MixerBlock(nn.Module):
    """The same with a SwiGLU over the sequence, which ties the weights to one S and needs no positions.

    TRM norms that sum over the sequence; normed over the features it learns small puzzles faster.
    """

    def __init__(self, config: ModelConfig, size: int) -> None:
        super().__init__()
        self.eps = config.rms_eps
        self.norms_features = config.mixer_norm == "features"
        self.may_round = config.gate == "normed"
        self.mlp_t = SwiGLU(config, config.front.num_tokens)
        self.mlp = SwiGLU(config, size)

    def forward(self, x_BSD: Tensor, rope: Tensor | None) -> Tensor:
        # Laid out anew each time: on a view of three axes a product without a graph copies the whole weight
        # first.
        x_BDS = x_BSD.transpose(1, 2).contiguous()
        if self.norms_features:
            x_BSD = add_norm(
                x_BSD, self.mlp_t(x_BDS).transpose(1, 2).contiguous(), self.eps, may_round=self.may_round
            )
        else:
            x_BSD = (
                add_norm(x_BDS, self.mlp_t(x_BDS), self.eps, may_round=self.may_round)
                .transpose(1, 2)
                .contiguous()
            )
        return add_norm(x_BSD, self.mlp(x_BSD), self.eps, may_round=self.may_round)


class GridBlock(nn.Module):
    """h = rms(h + SwiGLU(h)) with a 3x3 stencil inside: information moves to neighbouring cells, one step a
    block.

    It ties the weights to one square of cells, and shares them among its places.
    """

    def __init__(self, config: ModelConfig, size: int) -> None:
        super().__init__()
        self.eps = config.rms_eps
        self.may_round = config.gate == "normed"
        self.mlp = SwiGLU(config, size)
        self.stencil = Stencil(config.side, config.inner_size(size))

    def forward(self, x_BSD: Tensor, rope: Tensor | None) -> Tensor:
        mixed_BSD = self.mlp.down_proj(self.stencil(self.mlp.gated(x_BSD)))
        return add_norm(x_BSD, mixed_BSD, self.eps, may_round=self.may_round)


class Lines:
    """The lines of a square grid of cells: row, column, box, and the other symbols of a cell.

    grid: band, row, stack, column, symbol.  axes: of (B, *grid, D), those that each line runs over.
    """

    def __init__(self, config: ModelConfig) -> None:
        assert isinstance(config.front, TokenFront)
        side, (rows, cols) = config.side, config.box or (1, 1)
        self.grid = side // rows, rows, side // cols, cols, config.front.tokens_per_cell
        self.axes: list[tuple[int, ...]] = [(3, 4), (1, 2)]  # a row, a column
        if config.box is not None:
            self.axes.append((2, 4))
        if config.front.tokens_per_cell > 1:
            self.axes.append((5,))

    @property
    def num(self) -> int:
        return len(self.axes)

    def of(self, x_BSD: Tensor) -> tuple[Tensor, list[Tensor]]:
        """x as (B, *grid, D), and for each line its sum / sqrt(n), with size 1 where it was summed."""
        x = x_BSD.view(x_BSD.shape[0], *self.grid, x_BSD.shape[-1])
        return x, [self._of_line(x, axes) for axes in self.axes]

    def _of_line(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        num = math.prod(self.grid[axis - 1] for axis in axes)
        return x.sum(axes, keepdim=True) / math.sqrt(num)


def joined(x: Tensor, sums: list[Tensor]) -> Tensor:
    """(B, *grid, D * (1 + lines)): each token beside the sums of its lines."""
    return torch.cat((x, *(line.expand_as(x) for line in sums)), dim=-1)


class LinearBlock(nn.Module):
    """h = W [h, lines], with the lines of LinesBlock; for a front without interchangeable symbols h = W h
    over all tokens and features at once. No norm, gate or residual, so that a composition of blocks is one
    linear map of the tokens.
    """

    def __init__(self, config: ModelConfig, size: int) -> None:
        super().__init__()
        self.lines = Lines(config) if config.has_lines else None
        num_tokens = config.front.num_tokens
        self.proj = (
            Linear(num_tokens * size, num_tokens * size)
            if self.lines is None
            else Linear(size * (1 + self.lines.num), size)
        )

    def forward(self, x_BSD: Tensor, rope: Tensor | None) -> Tensor:
        x = x_BSD.flatten(1) if self.lines is None else joined(*self.lines.of(x_BSD))
        mixed_BSD: Tensor = self.proj(x)
        return mixed_BSD.view(x_BSD.shape)


class LinesBlock(nn.Module):
    """h = rms(h + SwiGLU([h, lines])), where lines are the token's row, column and box, and the other symbols
    of its cell.

    Each token receives a line's sum / sqrt(n), which keeps unit variance for independent tokens. No weight
    depends on a place, a symbol or the size of the grid.
    may_use_kernels: False computes by torch's operations even where compiled loops would (lines.py).
    """

    may_use_kernels: bool = True

    def __init__(self, config: ModelConfig, size: int) -> None:
        super().__init__()
        assert isinstance(config.front, TokenFront)
        self.eps = config.rms_eps
        self.may_round = config.gate == "normed"
        self.lines = Lines(config)
        self.square = Square(side=config.side, box=config.box, symbols=config.front.tokens_per_cell)
        self.mlp = SwiGLU(config, size, in_size=size * (1 + self.lines.num))

    def forward(self, x_BSD: Tensor, rope: Tensor | None) -> Tensor:
        if self.may_round and self.may_use_kernels:
            up, down = (part.weight_in(x_BSD.dtype) for part in (self.mlp.gate_up_proj, self.mlp.down_proj))
            if is_for_kernels(x_BSD, up, down):
                return mix(x_BSD, up, down, self.square, self.eps)
        x, sums = self.lines.of(x_BSD)
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            gate_up: Tensor = self.mlp.gate_up_proj(joined(x, sums))
        else:
            gate_up = self._apart(x, sums)
        mixed_BSD: Tensor = self.mlp.down_proj(self.mlp.gate(gate_up)).view(x_BSD.shape)
        return add_norm(x_BSD, mixed_BSD, self.eps, may_round=self.may_round)

    @torch.no_grad()
    def compile_loops(self, like: Tensor) -> None:
        """Of a call without gradients. like: (D,), of the dtype and device of its input."""
        x_BSD = like.new_zeros(1, self.square.num_tokens, like.shape[0])
        if self.may_round and self.may_use_kernels and load_loops(x_BSD):
            self(x_BSD, None)

    def _apart(self, x: Tensor, sums: list[Tensor]) -> Tensor:
        """(B, *grid, 2 F), the same with each line multiplied once, not once for each of its tokens: without
        a graph 0.65x the time (width 48, 9x9); with one, adding up costs more than it saves."""
        own, *others = self.mlp.gate_up_proj.weight_in(x.dtype).chunk(1 + len(sums), dim=1)
        gate_up = F.linear(x, own)
        for line, weight in zip(sums, others):
            gate_up += F.linear(line, weight)
        return gate_up


class Net(nn.Module):
    """f(h, injection): the blocks, on their sum."""

    def __init__(self, config: ModelConfig, num_layers: int, size: int) -> None:
        super().__init__()
        blocks: dict[str, type[nn.Module]] = {
            "attention": AttentionBlock, "mlp": MixerBlock, "grid": GridBlock, "lines": LinesBlock,
            "linear": LinearBlock,
        }  # fmt: skip
        self.layers = nn.ModuleList(blocks[config.mixer](config, size) for _ in range(num_layers))

    def forward(self, h_BSD: Tensor, injection_BSD: Tensor, rope: Tensor | None) -> Tensor:
        h_BSD = h_BSD + injection_BSD
        for layer in self.layers:
            h_BSD = layer(h_BSD, rope)
        return h_BSD
