"""Noise and random starts in the states of rows, how much a segment changed them, and what it led to.

Invariant: a row's numbers depend on its own seed, number and segment alone.
Shapes: B rows in progress, S tokens, D hidden.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sage.hrm_core.model.recurrence import Carry, Output
from sage.hrm_core.solving.noise import derived_seed, gaussian
from sage.hrm_core.solving.row import Row
from sage.hrm_core.solving.step_record import Step

#: Stands for the start where a seed is derived from the number of the segment.
_START = -1
#: Of a residual. A state has entries of size 1.
DECIMALS = 4


def with_noise(carry: Carry, rows: Sequence[Row]) -> Carry:
    """z + noise_std * normal in the rows with noise; the others stay as they are."""
    noisy = [(index, row, row.noise_seed) for index, row in enumerate(rows) if row.noise_seed is not None]
    if not noisy:
        return carry
    seeds = [derived_seed(seed, row.number, row.num_segments) for _, row, seed in noisy]
    drawn = _drawn(carry, seeds, [row.settings.noise_std for _, row, _ in noisy])
    at = _places([index for index, _, _ in noisy], carry)
    z_H, z_L = carry.z_H.clone(), carry.z_L.clone()
    z_H[at] += drawn.z_H
    z_L[at] += drawn.z_L
    return Carry(z_H=z_H, z_L=z_L)


def with_starts(carry: Carry, rows: Sequence[Row]) -> Carry:
    """start_std * normal in place of a fresh carry, in the rows with a random start."""
    random = [(index, row, row.start_seed) for index, row in enumerate(rows) if row.start_seed is not None]
    if not random:
        return carry
    seeds = [derived_seed(seed, row.number, _START) for _, row, seed in random]
    drawn = _drawn(carry, seeds, [row.settings.start_std for _, row, _ in random])
    at = _places([index for index, _, _ in random], carry)
    z_H, z_L = carry.z_H.clone(), carry.z_L.clone()
    z_H[at], z_L[at] = drawn.z_H, drawn.z_L
    return Carry(z_H=z_H, z_L=z_L)


def residuals(before: Carry, after: Carry, rows: Sequence[Row]) -> np.ndarray:
    """(B,) float64: root mean square of the change of z_H and z_L; inf where no row is picked by it.

    Rounded to DECIMALS, so that states at rest tie and rounding in the model does not decide.
    """
    if all(row.settings.pick == "q" for row in rows):
        return np.full(len(rows), np.inf)
    changes = [
        (new.float() - old.float()).flatten(1)
        for new, old in ((after.z_H, before.z_H), (after.z_L, before.z_L))
    ]
    sizes: np.ndarray = torch.cat(changes, dim=1).square().mean(1).sqrt().double().cpu().numpy()  # sync
    return sizes.round(DECIMALS)


def steps_of(before: Carry, after: Carry, output: Output, at: Tensor) -> list[Step]:
    """The steps of the rows at (K,) int64."""
    assert output.logits is not None
    assert output.q_halt is not None
    certainty, answers = output.logits[at].float().softmax(-1).max(-1)  # (K, L)
    changes = [
        (new[at].float() - old[at].float()).flatten(1).square().mean(1).sqrt()
        / old[at].float().flatten(1).square().mean(1).sqrt().clamp_min(1e-12)
        for new, old in ((after.z_H, before.z_H), (after.z_L, before.z_L))
    ]
    numbers = torch.stack((output.q_halt[at].float(), *changes)).double().cpu().numpy()  # sync: for display
    symbols, sure = answers.to(torch.int32).cpu().numpy(), certainty.cpu().numpy()
    return [
        Step(answer=cells, certainty=each, q=float(q), H_change=float(H), L_change=float(L))
        for cells, each, (q, H, L) in zip(symbols, sure, numbers.T)
    ]


def _drawn(carry: Carry, seeds: list[int], stds: list[float]) -> Carry:
    """std * normal, for each seed."""
    device = carry.z_H.device
    sizes = carry.z_H[0].numel(), carry.z_L[0].numel()
    scale = torch.tensor(stds, device=device)[:, None]
    drawn = scale * gaussian(
        torch.tensor(seeds, dtype=torch.int64, device=device), sum(sizes)
    )  # (K, S D + S D_L)
    return Carry(
        z_H=drawn[:, : sizes[0]].view(-1, *carry.z_H.shape[1:]).to(carry.z_H.dtype),
        z_L=drawn[:, sizes[0] :].view(-1, *carry.z_L.shape[1:]).to(carry.z_L.dtype),
    )


def _places(indices: list[int], carry: Carry) -> Tensor:
    return torch.tensor(indices, dtype=torch.int64, device=carry.z_H.device)
