"""The GPT baseline of HRM: a GPT with the same attention, SwiGLU and embeddings; each block runs once, with
no recurrent state and no halting.

Invariant: it has as many parameters as the HRM of the same config, less the Q head (two rows of D and two
numbers).
Shapes: B rows, L tokens, n new tokens, D hidden, V symbols.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sage.errors import InputError
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.layers import Attention, Linear, SwiGLU, rope_table, truncated_normal_
from sage.hrm_core.model.norms import rms_norm
from sage.hrm_core.model.sequence import Embedding
from sage.hrm_core.text.cache import KeyValueCache, last_rope


class PlainBlock(nn.Module):
    """Pre-norm block, as in GPT-2: h = h + Attention(rms(h)); h = h + SwiGLU(rms(h))."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.eps = config.rms_eps
        self.self_attn = Attention(config, config.hidden_size)
        self.mlp = SwiGLU(config, config.hidden_size)

    def forward(self, x_BLD: Tensor, rope: Tensor | None) -> Tensor:
        x_BLD = x_BLD + self.self_attn(rms_norm(x_BLD, self.eps), rope)
        out_BLD: Tensor = x_BLD + self.mlp(rms_norm(x_BLD, self.eps))
        return out_BLD


class PlainLevel(nn.Module):
    """All blocks: those of L, then those of H."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        num_layers = config.L_layers + (0 if config.shares_nets else config.H_layers)
        self.layers = nn.ModuleList(PlainBlock(config) for _ in range(num_layers))


class PlainGPT(nn.Module):
    """`PlainGPT(config)(tokens)`: (B, L) to (B, L, V). config: of the HRM that it is compared with."""

    rope: Tensor | None

    def __init__(self, config: ModelConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        front = config.front
        if not isinstance(front, TokenFront) or not config.is_causal:
            raise InputError(
                "is_causal is False, or the front has no tokens: a GPT needs a causal TokenFront"
            )
        if front.puzzle_tokens or config.L_size != config.hidden_size:
            raise InputError(
                "puzzle_tokens or L_hidden_size is given: a GPT has one width and no puzzles, leave them out"
            )
        self.config = config
        self.embed_tokens = Embedding(front.vocab_size, config.hidden_size)
        if front.positions == "learned":
            self.embed_pos = Embedding(front.seq_len, config.hidden_size)
        self.one_level = PlainLevel(config)
        self.lm_head = Linear(config.hidden_size, front.vocab_size)
        table = (
            rope_table(front.seq_len, config.head_dim, config.rope_theta) if config.has_rope else None
        )  # (2, L, E)
        self.register_buffer("rope", table, persistent=False)
        self._init_weights(generator or torch.Generator().manual_seed(0))

    @torch.no_grad()
    def _init_weights(self, generator: torch.Generator) -> None:
        """
        embeddings              truncated normal, std 1/sqrt(D)
        linear                  std 1/sqrt(fan_in)
        o_proj, down_proj       the same / sqrt(2 layers), so that the residual sum starts at unit scale
        (GPT-2)
        """
        branches = math.sqrt(2 * len(self.one_level.layers))
        for name, module in self.named_modules():
            if isinstance(module, Embedding):
                truncated_normal_(module.embedding_weight, self.config.hidden_size**-0.5, generator)
            elif isinstance(module, Linear):
                shrink = branches if name.endswith(("o_proj", "down_proj")) else 1.0
                truncated_normal_(module.weight, module.weight.shape[1] ** -0.5 / shrink, generator)

    def forward(self, tokens_BL: Tensor) -> Tensor:
        x_BLD = self._embed(tokens_BL, 0)
        rope = last_rope(self.rope, 0, tokens_BL.shape[1])
        for layer in self.one_level.layers:
            x_BLD = layer(x_BLD, rope)
        logits: Tensor = self.lm_head(rms_norm(x_BLD, self.config.rms_eps))
        return logits

    def next_logits(self, tokens_Bn: Tensor, cache: KeyValueCache) -> Tensor:
        """Logits (B, V) after the last of the new tokens, which are added to the cache."""
        start, num_new = cache.num_cached, tokens_Bn.shape[1]
        x_BnD = self._embed(tokens_Bn, start)
        rope = last_rope(self.rope, start, start + num_new)
        for lane, layer in enumerate(self.one_level.layers):
            assert isinstance(layer, PlainBlock)
            x_BnD = x_BnD + cache.attend(layer.self_attn, lane, rms_norm(x_BnD, layer.eps), rope)
            x_BnD = x_BnD + layer.mlp(rms_norm(x_BnD, layer.eps))
        cache.advance(num_new)
        logits: Tensor = self.lm_head(rms_norm(x_BnD[:, -1], self.config.rms_eps))
        return logits

    def _embed(self, tokens_Bn: Tensor, start: int) -> Tensor:
        end = start + tokens_Bn.shape[1]
        if end > self.config.front.num_tokens:
            raise InputError(
                f"the text has {end} tokens: this model takes at most {self.config.front.num_tokens}"
            )
        x_BnD: Tensor = self.embed_tokens(tokens_Bn)
        if hasattr(self, "embed_pos"):
            x_BnD = (x_BnD + self.embed_pos.embedding_weight[start:end]) * math.sqrt(0.5)
        return x_BnD * math.sqrt(self.config.hidden_size)
