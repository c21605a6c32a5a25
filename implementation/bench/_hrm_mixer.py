"""The plain forward of a trained small model (an MLP over the sequence, one shared net), for the full solve.

Invariant: the formulas spelt out over the fp32 weights of an `HRM`, every row to the last segment; nothing of ours is called.
Shapes: B rows, S cells, D hidden.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from sage.hrm_core.hrm import HRM


class PlainMixer:
    """z_L = f(z_L, z_H + x), L times, then z_H = f(z_H, z_L), H times a segment."""

    def __init__(self, model: HRM) -> None:
        config = model.config
        is_known = config.mixer == "mlp" and config.mixer_norm == "features" and config.gate == "normed" and config.shares_nets
        if not is_known or config.front.positions != "learned":
            raise ValueError("the plain mixer is the small presets' form alone: give a model of preset small")
        self.weights = {name: tensor.detach().float() for name, tensor in model.inner.state_dict().items()}
        self.num_layers, self.H_cycles, self.L_cycles = config.L_layers, config.H_cycles, config.L_cycles
        self.size, self.eps = config.hidden_size, config.rms_eps

    def solve(self, inputs: Tensor, num_segments: int) -> Tensor:
        """Answers (B, S) after so many segments for every row."""
        weights, rows = self.weights, (*inputs.shape, -1)
        z_H, z_L = weights["H_init"].expand(rows), weights["L_init"].expand(rows)  # (B, S, D)
        for _ in range(num_segments):
            z_H, z_L, logits = self.segment(z_H, z_L, inputs)
        return logits.argmax(-1)

    def segment(self, z_H: Tensor, z_L: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weights = self.weights
        cells = F.embedding(inputs, weights["embed_tokens.embedding_weight"]) + weights["embed_pos.embedding_weight"]
        x = math.sqrt(self.size) * math.sqrt(0.5) * cells
        for _ in range(self.H_cycles):
            for _ in range(self.L_cycles):
                z_L = self.net(z_L + z_H + x)
            z_H = self.net(z_H + z_L)
        q = F.linear(z_H[:, 0], weights["q_head.weight"], weights["q_head.bias"])
        assert q.shape[-1] == 2  # read by nobody here, as in the published evaluation, but paid for
        return z_H, z_L, F.linear(z_H, weights["lm_head.weight"])

    def net(self, h: Tensor) -> Tensor:
        for layer in range(self.num_layers):
            block = f"L_level.layers.{layer}"
            mixed = self.gated(h.transpose(1, 2), f"{block}.mlp_t").transpose(1, 2)
            h = self.normed(h + mixed)
            h = self.normed(h + self.gated(h, f"{block}.mlp"))
        return h

    def gated(self, x: Tensor, name: str) -> Tensor:
        gate, up = F.linear(x, self.weights[f"{name}.gate_up_proj.weight"]).chunk(2, dim=-1)
        return F.linear(torch.sigmoid(gate) * self.normed(gate * up), self.weights[f"{name}.down_proj.weight"])

    def normed(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps)
