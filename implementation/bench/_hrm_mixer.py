"""The plain forward of a trained small model (an MLP over the sequence, or means along lines; one net), for
the full solve.

Invariant: the formulas spelt out over the fp32 weights of an `HRM`, every row to the last segment; nothing of
ours is called.
Shapes: B rows, L cells, S tokens (L, or L times the symbols that are alike), D hidden.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from sage.hrm_core.config.model import TokenFront
from sage.hrm_core.model.hrm import HRM


class PlainMixer:
    """z_L = f(z_L, z_H + x), L times, then z_H = f(z_H, z_L), H times a segment."""

    def __init__(self, model: HRM) -> None:
        config, front = model.config, model.config.front
        assert isinstance(front, TokenFront)
        is_mlp = config.mixer == "mlp" and config.mixer_norm == "features" and front.positions == "learned"
        is_lines = config.mixer == "lines" and front.tokens_per_cell > 1 and front.positions == "none"
        is_lines &= config.box is not None and config.q_source == "mean"
        if not (is_mlp or is_lines) or config.gate != "normed" or not config.shares_nets:
            raise ValueError(
                "the plain mixer is the small presets' form alone: give a model of preset small or sudoku"
            )
        if is_mlp and config.q_source != "one_token":
            raise ValueError(
                f"q_source is {config.q_source!r}: the plain mixer of preset small reads one token"
            )
        self.weights = {name: tensor.detach().float() for name, tensor in model.inner.state_dict().items()}
        self.num_layers, self.H_cycles, self.L_cycles = config.L_layers, config.H_cycles, config.L_cycles
        self.size, self.eps = config.hidden_size, config.rms_eps
        self.first_alike, self.num_alike, self.box = front.alike_from, front.tokens_per_cell, config.box
        self.side, self.num_tokens = math.isqrt(front.seq_len), front.num_tokens

    def solve(self, inputs: Tensor, num_segments: int) -> Tensor:
        """Answers (B, L) after so many segments for every row."""
        z_H, z_L = self.start(len(inputs))
        for _ in range(num_segments):
            z_H, z_L, logits = self.segment(z_H, z_L, inputs)
        return logits.argmax(-1)

    def start(self, num_rows: int) -> tuple[Tensor, Tensor]:
        """z_H, z_L (B, S, D)."""
        shape = (num_rows, self.num_tokens, -1)
        return self.weights["H_init"].expand(shape), self.weights["L_init"].expand(shape)

    def segment(self, z_H: Tensor, z_L: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weights, x = self.weights, math.sqrt(self.size) * self.embedded(inputs)
        for _ in range(self.H_cycles):
            for _ in range(self.L_cycles):
                z_L = self.net(z_L + z_H + x)
            z_H = self.net(z_H + z_L)
        heard = z_H[:, 0] if self.first_alike is None else z_H.mean(1)
        q = F.linear(heard, weights["q_head.weight"], weights["q_head.bias"])
        assert q.shape[-1] == 2  # read by nobody here, as in the published evaluation, but paid for
        out = F.linear(z_H, weights["lm_head.weight"])
        if self.first_alike is not None:
            out = out.view(len(inputs), -1, self.num_alike, self.first_alike + 1)
            out = torch.cat((out[..., :-1].mean(2), out[..., -1]), dim=-1)
        return z_H, z_L, out

    def embedded(self, inputs: Tensor) -> Tensor:
        table = self.weights["embed_tokens.embedding_weight"]
        if self.first_alike is None:
            return math.sqrt(0.5) * (F.embedding(inputs, table) + self.weights["embed_pos.embedding_weight"])
        symbols = torch.arange(self.num_alike) + self.first_alike
        is_other = (inputs[:, :, None] != symbols).long()
        kinds = torch.where(
            inputs[:, :, None] < self.first_alike, inputs[:, :, None].long(), self.first_alike + is_other
        )
        return F.embedding(kinds, table).flatten(1, 2)

    def net(self, h: Tensor) -> Tensor:
        for layer in range(self.num_layers):
            block = f"L_level.layers.{layer}"
            if self.first_alike is None:
                mixed = self.gated(h.transpose(1, 2), f"{block}.mlp_t").transpose(1, 2)
                h = self.normed(h + mixed)
                h = self.normed(h + self.gated(h, f"{block}.mlp"))
            else:
                h = self.normed(h + self.gated(self.heard(h), f"{block}.mlp"))
        return h

    def heard(self, h: Tensor) -> Tensor:
        """(B, S, 5 D): a token beside the means of its row, its column, its box and its cell."""
        assert self.box is not None
        side, (rows, cols) = self.side, self.box
        grid = h.view(len(h), side // rows, rows, side // cols, cols, self.num_alike, self.size)
        lines = [grid]
        for axes in ((3, 4), (1, 2), (2, 4), (5,)):
            mean = grid.mean(axes, keepdim=True)
            lines.append((math.sqrt(grid.numel() / mean.numel()) * mean).expand_as(grid))
        return torch.cat(lines, dim=-1).flatten(1, 5)

    def gated(self, x: Tensor, name: str) -> Tensor:
        gate, up = F.linear(x, self.weights[f"{name}.gate_up_proj.weight"]).chunk(2, dim=-1)
        return F.linear(
            torch.sigmoid(gate) * self.normed(gate * up), self.weights[f"{name}.down_proj.weight"]
        )

    def normed(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps)
