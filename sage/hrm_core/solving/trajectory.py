"""Recordings of a model's computation: answers after every segment, both states after every call, attention.

Invariant: recording does not change the answers.
Shapes: N puzzles, T segments, C calls of a net (of all segments), L cells, S tokens, D hidden.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sage.errors import InputError
from sage.hrm_core.model.attention import attention_weights
from sage.hrm_core.model.hrm import HRM, TokenBatch
from sage.hrm_core.model.layers import Attention, apply_rope


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """answers (T, N, L) int32, confidence (T, N) 0..1; z_H (C_H, N, S, D), z_L (C_L, N, S, D_L) fp32 after
    each call.

    attention: (C, S, S) of the first puzzle in the first segment, averaged over heads and layers; a row sums
    to 1. None where the model mixes without attention. calls: "L" or "H", the calls of one segment in order.
    """

    answers: np.ndarray
    confidence: np.ndarray
    z_H: np.ndarray
    z_L: np.ndarray
    attention: np.ndarray | None
    calls: tuple[str, ...]

    @property
    def num_segments(self) -> int:
        return len(self.answers)


@torch.inference_mode()
def record_trajectory(model: HRM, inputs: np.ndarray, *, num_segments: int = 8) -> Trajectory:
    """Run all of inputs (N, L) for num_segments, without halting."""
    if num_segments < 1:
        raise InputError(f"num_segments is {num_segments}: give 1 or more")
    rows = torch.from_numpy(np.ascontiguousarray(inputs, np.int32)).to(model.inner.H_init.device)
    batch = TokenBatch(inputs=rows, labels=rows, puzzle_ids=torch.full((len(rows),), -1, device=rows.device))
    carry, answers, confidence = model.initial_carry(len(rows)), [], []
    with ExitStack() as stack:
        states = stack.enter_context(_watched_states(model))
        maps = stack.enter_context(_watched_attention(model))
        for segment in range(num_segments):
            carry, output = model.segment(carry, batch)
            assert output.logits is not None
            assert output.q_halt is not None
            answers.append(
                output.logits.argmax(-1).to(torch.int32).cpu().numpy()
            )  # sync: pictures are drawn on the host
            confidence.append(output.q_halt.sigmoid().float().cpu().numpy())
            if segment == 0:
                first = list(maps)
    calls = _calls_of_a_segment(model)
    return Trajectory(
        answers=np.stack(answers),
        confidence=np.stack(confidence),
        z_H=np.stack(states["H"]),
        z_L=np.stack(states["L"]),
        attention=np.stack(np.array_split(np.stack(first), len(calls))).mean(1) if first else None,
        calls=calls,
    )


def participation_ratio(states: np.ndarray) -> float:
    """(sum of the variances)^2 / sum of their squares, over the principal axes of states (M, D): how many
    axes are used.
    """
    centred = states.astype(np.float64) - states.mean(0)
    variances = np.linalg.eigvalsh(centred.T @ centred)
    total = float(variances.sum())
    return total**2 / float((variances**2).sum()) if total > 0 else 0.0


def principal_path(states: np.ndarray, num_axes: int = 2) -> np.ndarray:
    """(C, num_axes): where the mean over tokens of states (C, S, D) goes, along its own principal axes."""
    means = states.mean(1).astype(np.float64)
    centred = means - means.mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:num_axes]
    path = centred @ axes.T
    return np.pad(path, ((0, 0), (0, num_axes - path.shape[1])))


def step_sizes(states: np.ndarray) -> np.ndarray:
    """(C - 1,): the RMS of each call's change over the RMS of what it changed; states (C, N, S, D)."""
    changes = np.sqrt(np.square(np.diff(states, axis=0)).mean((1, 2, 3)))
    sizes: np.ndarray = changes / np.maximum(np.sqrt(np.square(states[:-1]).mean((1, 2, 3))), 1e-12)
    return sizes


def _calls_of_a_segment(model: HRM) -> tuple[str, ...]:
    config = model.config
    return (("L",) * config.L_cycles + ("H",)) * config.H_cycles


@contextmanager
def _watched_states(model: HRM) -> Iterator[dict[str, list[np.ndarray]]]:
    """The output of each net, call by call; where one net is both, the position in the cycle decides."""
    states: dict[str, list[np.ndarray]] = {"L": [], "H": []}
    calls, num_seen = _calls_of_a_segment(model), 0

    def keep(_: Any, __: Any, state: Tensor) -> None:
        nonlocal num_seen
        states[calls[num_seen % len(calls)]].append(
            state.float().cpu().numpy()
        )  # sync: pictures are drawn on the host
        num_seen += 1

    with ExitStack() as stack:
        for net in model.inner.nets:
            stack.callback(net.register_forward_hook(keep).remove)
        yield states


@contextmanager
def _watched_attention(model: HRM) -> Iterator[list[np.ndarray]]:
    """The weights of each attention layer, call by call, of the first row: (S, S), averaged over heads."""
    maps: list[np.ndarray] = []

    def keep(module: Attention, given: tuple[Tensor, Tensor | None]) -> None:
        x, rope = given
        qkv = (
            module.qkv_proj(x[:1]).unflatten(-1, (3, module.num_heads, -1)).permute(2, 0, 3, 1, 4)
        )  # (3, 1, A, S, E)
        q, k = qkv[0], qkv[1]
        if rope is not None:
            q, k = apply_rope(q, rope), apply_rope(k, rope)
        weights = attention_weights(q.float(), k.float(), is_causal=module.is_causal)
        maps.append(weights.mean((0, 1)).cpu().numpy())  # sync: pictures are drawn on the host

    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, Attention):
                stack.callback(module.register_forward_pre_hook(keep).remove)
        yield maps
