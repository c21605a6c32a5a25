"""Attention by the best available kernel, chosen once for each device and dtype, with the reason.

Invariant: every backend computes softmax(q k^T / sqrt(E)) v; they differ by rounding alone. Nothing here has
weights.
Shapes: B rows, A heads, S tokens, E = D / A.
"""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from sage.errors import InputError

AttentionName = Literal["flash_attn_interface", "flash_attn", "sdpa", "eager"]
#: Fused kernels outside torch, best first: the module, and the least compute capability it is built for.
_FLASH: tuple[tuple[AttentionName, tuple[int, int]], ...] = (
    ("flash_attn_interface", (9, 0)),  # FlashAttention 3: Hopper
    ("flash_attn", (8, 0)),  # FlashAttention 2: Ampere and later
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionChoice:
    """The kernel, and why it was chosen (one line)."""

    name: AttentionName
    reason: str


@functools.cache
def choose_attention(device_type: str, dtype: torch.dtype, head_dim: int) -> AttentionChoice:
    """FlashAttention 3, then 2, then torch's scaled_dot_product_attention; `eager` only by name."""
    if device_type != "cuda":
        return AttentionChoice(name="sdpa", reason=f"device {device_type}: flash-attn needs CUDA")
    if dtype not in (torch.float16, torch.bfloat16):
        return AttentionChoice(name="sdpa", reason=f"{dtype}: flash-attn takes fp16 and bf16")
    if head_dim % 8 or head_dim > 256:
        return AttentionChoice(
            name="sdpa", reason=f"heads of {head_dim}: flash-attn takes multiples of 8 up to 256"
        )
    capability = torch.cuda.get_device_capability()
    absent: list[str] = []
    for name, least in _FLASH:
        fault = _fault(name) if capability >= least else f"needs compute capability {least[0]}.{least[1]}"
        if not fault:
            return AttentionChoice(
                name=name,
                reason="; ".join(("installed", f"capability {capability[0]}.{capability[1]}", *absent)),
            )
        absent.append(f"{name}: {fault}")
    return AttentionChoice(name="sdpa", reason="; ".join(absent))


def chosen_name(device_type: str, dtype: torch.dtype, head_dim: int) -> str:
    """The name of the choice; a constant for torch.compile after `prepare_to_compile`."""
    return choose_attention(device_type, dtype, head_dim).name


def prepare_to_compile() -> None:
    """Call before torch.compile, so that the choice of a kernel causes no graph break.

    Not a decorator: torch.compiler.assume_constant_result imports torch._dynamo, 0.9 s at every cold start.
    """
    torch.compiler.assume_constant_result(chosen_name)


def attend(
    q: Tensor, k: Tensor, v: Tensor, *, is_causal: bool = False, backend: AttentionName | None = None
) -> Tensor:
    """q, k, v (B, A, S, E) -> (B, A, S, E). backend: by name, or None for the machine's choice."""
    name = backend or chosen_name(q.device.type, q.dtype, q.shape[-1])
    if name == "sdpa":
        return F.scaled_dot_product_attention(q, k, v, is_causal=is_causal)
    if name == "eager":
        return attention_weights(q, k, is_causal=is_causal) @ v
    if name not in get_args(AttentionName):
        raise InputError(f"attention backend is {name!r}: give one of {', '.join(get_args(AttentionName))}")
    out = _flash(name)(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), causal=is_causal
    )  # flash has (B, S, A, E)
    out = out[0] if isinstance(out, tuple) else out  # early FlashAttention 3 returns the log-sum-exp too
    mixed: Tensor = out.transpose(1, 2)
    return mixed


def attention_weights(q: Tensor, k: Tensor, *, is_causal: bool = False) -> Tensor:
    """(B, A, S, S): weight of each key for each query; each row sums to 1."""
    scores: Tensor = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    if is_causal:
        is_ahead = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(is_ahead, float("-inf"))
    weights: Tensor = scores.softmax(-1)
    return weights


def _fault(name: str) -> str:
    """Why the module cannot be used; empty if it can."""
    try:
        _flash(name)
    except (ImportError, OSError, AttributeError) as error:  # OSError: built against another torch
        return " ".join(str(error).split())[:120] or type(error).__name__
    return ""


def _flash(name: str) -> Any:
    return importlib.import_module(name).flash_attn_func
