"""Logits of the next symbol, token by token: one interface for HRM and the GPT baseline, with a cache or
without.

What can be cached: under causal attention a position's states after each call of each segment depend only on
the positions up to it, since every position starts from the same H_init and L_init. So the keys and values of
each layer in each call are cached, segments * (H_cycles * L_cycles * L_layers + H_cycles * H_layers) lanes,
and a new token costs its own calls only.
What cannot: halting by the Q head. A position that halted early has no keys for a later position with more
segments; every position takes the same number of segments, cached or not.

Invariant: the logits with a cache equal those without, up to the rounding of a matrix product.
Shapes: B rows, n new tokens, P puzzle tokens, V symbols.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from sage.errors import InputError
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM, TokenBatch
from sage.hrm_core.model.layers import AttentionBlock, Net
from sage.hrm_core.model.losses import IGNORED
from sage.hrm_core.model.norms import rms_norm
from sage.hrm_core.text.cache import KeyValueCache, last_rope
from sage.hrm_core.text.gpt import PlainGPT


class Decoder(Protocol):
    """Computes the logits of the next symbol of a growing text."""

    def extend(self, tokens_Bn: Tensor) -> Tensor:
        """Append the tokens (B, n); returns the logits (B, V) of the symbol after the last one."""
        ...


class CachedHRM:
    """The first call takes any number of tokens at once; later calls process their tokens one by one."""

    def __init__(self, model: HRM, *, num_segments: int, num_rows: int = 1) -> None:
        config = need_text_model(model)
        self._model, self._num_segments = model, num_segments
        lanes = num_segments * (config.num_calls * config.L_layers + config.H_cycles * config.H_layers)
        start = model.inner.H_init
        # Nets of different widths have different numbers of heads: each width needs its own cache.
        widths = {config.L_size: 0, config.hidden_size: 0}
        self._caches = {
            width: KeyValueCache(
                (num_rows, width // config.head_dim, config.head_dim),
                num_lanes=lanes,
                max_tokens=config.front.num_tokens,
                like=start,
            )
            for width in widths
        }
        self._tokens = torch.empty(num_rows, 0, dtype=torch.int32, device=start.device)

    @property
    def num_bytes(self) -> int:
        """Size of the cache in bytes."""
        return sum(cache.num_bytes for cache in self._caches.values())

    @torch.inference_mode()
    def extend(self, tokens_Bn: Tensor) -> Tensor:
        if self._tokens.shape[1]:
            for token in tokens_Bn.split(1, dim=1):
                logits = self._extend(token)
            return logits
        return self._extend(tokens_Bn)

    def _extend(self, tokens_Bn: Tensor) -> Tensor:
        inner = self._model.inner
        self._tokens = torch.cat((self._tokens, tokens_Bn.to(self._tokens)), dim=1)
        x_BSD = inner.embed(_batch(self._tokens))  # an embedding look-up; sliced to the new tokens below
        start, end = next(iter(self._caches.values())).num_cached, x_BSD.shape[1]
        z_H = self._refine(x_BSD[:, start:], last_rope(inner.rope, start, end))
        for cache in self._caches.values():
            cache.advance(end - start)
        logits: Tensor = inner.lm_head(z_H[:, -1])
        return logits

    def _refine(self, x_BnD: Tensor, rope: Tensor | None) -> Tensor:
        """All segments of `Recurrence.refine` for the new tokens only; z_H (B, n, D)."""
        inner, config = self._model.inner, self._model.config
        f_L = inner.L_level
        f_H = inner.L_level if config.shares_nets else inner.H_level
        z_H, z_L = (each.expand(*x_BnD.shape[:2], -1) for each in (inner.H_init, inner.L_init))
        lane = 0
        for _ in range(self._num_segments):
            for call in range(config.num_calls):
                injection = z_H + x_BnD
                next_L = self._net(
                    f_L, lane, z_L + (inner.H_to_L(injection) if inner.has_bridges else injection), rope
                )
                z_L = inner.damped(z_L, next_L)
                lane += len(f_L.layers)
                if (call + 1) % config.L_cycles == 0:
                    next_H = self._net(
                        f_H, lane, z_H + (inner.L_to_H(z_L) if inner.has_bridges else z_L), rope
                    )
                    z_H = inner.damped(z_H, next_H)
                    lane += len(f_H.layers)
        return z_H

    def _net(self, net: Net, lane: int, h_BnD: Tensor, rope: Tensor | None) -> Tensor:
        cache = self._caches[h_BnD.shape[-1]]
        for layer in net.layers:
            assert isinstance(layer, AttentionBlock)
            h_BnD = rms_norm(h_BnD + cache.attend(layer.self_attn, lane, h_BnD, rope), layer.eps)
            h_BnD = rms_norm(h_BnD + layer.mlp(h_BnD), layer.eps)
            lane += 1
        return h_BnD


class UncachedHRM:
    """Recomputes the whole text in every call. The reference for CachedHRM."""

    def __init__(self, model: HRM, *, num_segments: int, num_rows: int = 1) -> None:
        need_text_model(model)
        self._model, self._num_segments = model, num_segments
        self._tokens = torch.empty(num_rows, 0, dtype=torch.int32, device=model.inner.H_init.device)

    def extend(self, tokens_Bn: Tensor) -> Tensor:
        self._tokens = torch.cat((self._tokens, tokens_Bn.to(self._tokens)), dim=1)
        return text_logits(self._model, self._tokens, num_segments=self._num_segments)[:, -1]


class CachedGPT:
    """The GPT baseline, with one cache lane per layer."""

    def __init__(self, model: PlainGPT, *, num_rows: int = 1) -> None:
        config = model.config
        self._model, self._tokens_seen = model, 0
        self._cache = KeyValueCache(
            (num_rows, config.num_heads, config.head_dim),
            num_lanes=len(model.one_level.layers),
            max_tokens=config.front.num_tokens,
            like=model.embed_tokens.embedding_weight,
        )

    @torch.inference_mode()
    def extend(self, tokens_Bn: Tensor) -> Tensor:
        for part in tokens_Bn.split(1, dim=1) if self._cache.num_cached else (tokens_Bn,):
            logits = self._model.next_logits(part, self._cache)
        return logits


class UncachedGPT:
    def __init__(self, model: PlainGPT, *, num_rows: int = 1) -> None:
        self._model = model
        self._tokens = torch.empty(
            num_rows, 0, dtype=torch.int32, device=model.embed_tokens.embedding_weight.device
        )

    def extend(self, tokens_Bn: Tensor) -> Tensor:
        self._tokens = torch.cat((self._tokens, tokens_Bn.to(self._tokens)), dim=1)
        return text_logits(self._model, self._tokens)[:, -1]


@torch.inference_mode()
def text_logits(model: HRM | PlainGPT, tokens_BL: Tensor, *, num_segments: int = 1) -> Tensor:
    """Logits (B, L, V) after each symbol, in one call; num_segments: used by HRM only."""
    if isinstance(model, PlainGPT):
        logits: Tensor = model(tokens_BL)
        return logits
    batch = _batch(tokens_BL)
    carry = model.initial_carry(
        len(tokens_BL), num_tokens=model.inner.front.num_tokens_of(tokens_BL.shape[1])
    )
    for _ in range(num_segments):
        carry, output = model.segment(carry, batch)
    assert output.logits is not None
    return output.logits


def need_text_model(model: HRM) -> ModelConfig:
    """The model's config. Raises InputError if the model is not causal: it cannot generate text."""
    if not model.config.is_causal or not isinstance(model.config.front, TokenFront):
        raise InputError(
            "is_causal is False: only a causal model of tokens generates text: train one on text or brackets"
        )
    return model.config


def _batch(tokens_BL: Tensor) -> TokenBatch:
    return TokenBatch(
        inputs=tokens_BL,
        labels=torch.full_like(tokens_BL, IGNORED),
        puzzle_ids=tokens_BL.new_full((len(tokens_BL),), -1),
    )
