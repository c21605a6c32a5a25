"""Stateless Gaussian noise: an element's value is a function of its row's seed and its index.

Invariant: a seed gives the same row in every call and batch, to the rounding of log and cos, which vary
between devices and processors. (A torch.Generator draws for a whole batch, so a row's noise would depend on
the others.)
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 / golden ratio, splitmix64's step
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_ALL = (1 << 64) - 1
_BITS = 24  # of each uniform: what a float32 holds


def puzzle_seed(cells: np.ndarray, puzzle_id: int, seed: int) -> int:
    """64 bits from a puzzle's cells (L,), its id and the caller's seed."""
    content = np.ascontiguousarray(cells, dtype="<i4").tobytes() + puzzle_id.to_bytes(
        8, "little", signed=True
    )
    digest = hashlib.blake2b(content, digest_size=8, key=seed.to_bytes(8, "little")).digest()
    return int.from_bytes(digest, "little")


def derived_seed(seed: int, attempt: int, segment: int) -> int:
    """64 bits for one segment of one try, as the signed number that a tensor holds."""
    return _signed(_mixed(_mixed(seed + attempt * _GOLDEN) + segment * _GOLDEN))


def uniforms(*numbers: int, num: int) -> np.ndarray:
    """(num,) float64 in 0..1 from whole numbers of 0 or more."""
    return np.random.default_rng(numbers).random(num)


def gaussian(seeds: Tensor, num: int) -> Tensor:
    """(B, num) fp32 standard normal from seeds (B,) int64 (splitmix64, then Box and Muller)."""
    places = torch.arange(1, (num + 1) // 2 + 1, dtype=torch.int64, device=seeds.device)
    bits = seeds[:, None] + places * _signed(_GOLDEN)  # (B, num / 2)
    for shift, factor in _MIX:
        bits = (bits ^ _shifted(bits, shift)) * _signed(factor)
    bits = bits ^ _shifted(bits, 31)
    scale = 2.0**-_BITS
    radius = (
        -2.0 * torch.log((_shifted(bits, 64 - _BITS).float() + 1.0) * scale)
    ).sqrt()  # of a uniform in (0, 1]
    angle = ((bits & ((1 << _BITS) - 1)).float() * scale) * (2.0 * math.pi)
    return torch.cat((radius * angle.cos(), radius * angle.sin()), dim=1)[:, :num]


def _shifted(bits: Tensor, by: int) -> Tensor:
    """A logical shift to the right; torch's own carries the sign along."""
    return (bits >> by) & ((1 << (64 - by)) - 1)


def _mixed(bits: int) -> int:
    bits &= _ALL
    for shift, factor in _MIX:
        bits = ((bits ^ (bits >> shift)) * factor) & _ALL
    return bits ^ (bits >> 31)


def _signed(bits: int) -> int:
    return bits - (1 << 64) if bits >> 63 else bits
