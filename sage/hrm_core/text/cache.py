"""Attention with a memory: what earlier tokens showed is kept, so that a new one is computed alone.

Invariant: a lane is written once a token, in order; the tokens of one call come after all that are kept.
Shapes: B rows, n new tokens, S kept tokens, A heads, E = D / A.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from sage.hrm_core.model.attention import attend
from sage.hrm_core.model.layers import Attention, apply_rope


class KeyValueCache:
    """Keys and values of `num_lanes` attentions over at most `max_tokens` tokens; one attention that runs
    several times for a token (a recurrence) has a lane for each time.

    num_kept: tokens kept, the same in every lane between two calls of `advance`.
    """

    def __init__(self, shape: tuple[int, int, int], *, num_lanes: int, max_tokens: int, like: Tensor) -> None:
        """shape: rows, heads, head size.  like: of its dtype and device."""
        num_rows, num_heads, head_dim = shape
        self._kept = like.new_empty(num_lanes, 2, num_rows, num_heads, max_tokens, head_dim)
        self.num_kept, self.max_tokens = 0, max_tokens

    @property
    def num_bytes(self) -> int:
        return self._kept.numel() * self._kept.element_size()

    def attend(self, attention: Attention, lane: int, x_BnD: Tensor, rope: Tensor | None) -> Tensor:
        """`attention(x)` of the new tokens over the kept ones and themselves, causally: (B, n, D). rope: of
        the new tokens.
        """
        qkv = rearrange(
            attention.qkv_proj(x_BnD), "b n (three a e) -> three b a n e", three=3, a=attention.num_heads
        )
        q_BAnE, k_BAnE, v_BAnE = qkv.unbind(0)
        if rope is not None:
            q_BAnE, k_BAnE = apply_rope(qkv[:2], rope).unbind(0)
        start, end = self.num_kept, self.num_kept + x_BnD.shape[1]
        assert start == 0 or end == start + 1, "many tokens at once only into an empty cache"
        keys_BASE, values_BASE = self._kept[lane].unbind(0)
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
        self.num_kept += num_new


def last_rope(rope: Tensor | None, start: int, end: int) -> Tensor | None:
    """(2, n, E): the turns of positions start..end - 1."""
    return None if rope is None else torch.narrow(rope, 1, start, end - start)
