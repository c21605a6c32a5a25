"""Key-value cache of causal attention: a new token attends to cached keys and values.

Invariant: each lane is written once per token, in order; the tokens of a call follow all cached ones.
Shapes: B rows, n new tokens, S cached tokens, A heads, E = D / A.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from sage.hrm_core.model.attention import attend
from sage.hrm_core.model.layers import Attention, apply_rope


class KeyValueCache:
    """Keys and values of `num_lanes` attentions over at most `max_tokens` tokens; one attention that runs
    several times per token (a recurrence) has one lane for each of these calls.

    num_cached: number of cached tokens, the same in every lane; changed by `advance` only.
    """

    def __init__(self, shape: tuple[int, int, int], *, num_lanes: int, max_tokens: int, like: Tensor) -> None:
        """shape: rows, heads, head size.  like: a tensor of the cache's dtype and device."""
        num_rows, num_heads, head_dim = shape
        self._keys_values = like.new_empty(num_lanes, 2, num_rows, num_heads, max_tokens, head_dim)
        self.num_cached = 0
        self.max_tokens = max_tokens

    @property
    def num_bytes(self) -> int:
        return self._keys_values.numel() * self._keys_values.element_size()

    def attend(self, attention: Attention, lane: int, x_BnD: Tensor, rope: Tensor | None) -> Tensor:
        """Causal `attention(x)` of the new tokens over the cached ones and themselves: (B, n, D). rope: the
        rotary table of the new tokens.
        """
        qkv = rearrange(
            attention.qkv_proj(x_BnD), "b n (three a e) -> three b a n e", three=3, a=attention.num_heads
        )
        q_BAnE, k_BAnE, v_BAnE = qkv.unbind(0)
        if rope is not None:
            q_BAnE, k_BAnE = apply_rope(qkv[:2], rope).unbind(0)
        start, end = self.num_cached, self.num_cached + x_BnD.shape[1]
        assert start == 0 or end == start + 1, "several tokens at once need an empty cache"
        keys_BASE, values_BASE = self._keys_values[lane].unbind(0)
        keys_BASE[:, :, start:end], values_BASE[:, :, start:end] = k_BAnE, v_BAnE
        mixed = attend(
            q_BAnE,
            keys_BASE[:, :, :end],
            values_BASE[:, :, :end],
            is_causal=start == 0,
            backend=attention.backend,
        )
        out_BnD: Tensor = attention.o_proj(rearrange(mixed, "b a n e -> b n (a e)"))
        return out_BnD

    def advance(self, num_new: int) -> None:
        self.num_cached += num_new


def last_rope(rope: Tensor | None, start: int, end: int) -> Tensor | None:
    """(2, n, E): the rotary table of positions start..end - 1."""
    return None if rope is None else torch.narrow(rope, 1, start, end - start)
