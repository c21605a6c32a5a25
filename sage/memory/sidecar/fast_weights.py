"""Fast weights: a matrix M that maps keys to values, written one pair at a time, of constant size.

Invariant: a pair that is not finite, or larger than MAX_MAGNITUDE, changes nothing but the count of refused
pairs. All tensors are on one device; a pair given as a tensor there is checked with one synchronisation.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sage.errors import DataError, InputError

#: Entries of keys and values above this are refused: their squares stay finite in float32.
MAX_MAGNITUDE = 1e9
#: What is forgotten between two pseudo-observations of one coordinate leaves at least this share.
MIN_RETAINED = 1e-6
PROJECTION_SEED = 20261


class FastWeights:
    """What the write rules share: M (value_dim, rank), the check of a pair, the read, the state.

    rank: keys are first projected onto that many fixed random orthonormal directions; None: key_dim, no
    projection.  dtype: float64 unless speed on a GPU matters; in float32, RLS is off by up to 0.4% where the
    keys span few directions, in float64 by 1e-12 (60,000 writes of 32 dimensions).
    """

    def __init__(
        self,
        key_dim: int,
        value_dim: int,
        *,
        rank: int | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> None:
        if min(key_dim, value_dim) < 1 or not 1 <= (rank or key_dim) <= key_dim:
            raise InputError(
                f"key_dim is {key_dim}, value_dim {value_dim}, rank {rank}: give sizes of 1 or more, and a"
                " rank of at most key_dim"
            )
        self.key_dim = key_dim
        self.value_dim = value_dim
        self.rank = rank or key_dim
        self.num_writes = 0
        self.num_refused = 0
        self._projection = None if self.rank == key_dim else _directions(key_dim, self.rank).to(device, dtype)
        self._weights = torch.zeros(value_dim, self.rank, dtype=dtype, device=device)

    def read(self, keys: np.ndarray | Tensor) -> Tensor:
        """M k of each key: (..., key_dim) -> (..., value_dim), zeros before the first write."""
        return F.linear(self._projected(self._moved(keys)), self._weights)

    def write(self, key: np.ndarray | Tensor, value: np.ndarray | Tensor) -> bool:
        """Bind key (key_dim,) to value (value_dim,); False when the pair is refused.

        InputError for other shapes.
        """
        if tuple(key.shape) != (self.key_dim,) or tuple(value.shape) != (self.value_dim,):
            raise InputError(
                f"key has shape {tuple(key.shape)}, value {tuple(value.shape)}: give ({self.key_dim},) and"
                f" ({self.value_dim},)"
            )
        if not (_is_bounded(key) and _is_bounded(value)):
            self.num_refused += 1
            return False
        self._bind(self._projected(self._moved(key)), self._moved(value))
        self.num_writes += 1
        return True

    def _bind(self, key: Tensor, value: Tensor) -> None:
        raise NotImplementedError

    def state(self) -> dict[str, np.ndarray]:
        """Copies on the host, for a snapshot."""
        counts = np.array([self.num_writes, self.num_refused], np.int64)
        arrays = {name: tensor.cpu().numpy().copy() for name, tensor in self._tensors().items()}
        return {"counts": counts, **arrays}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore a state of equal sizes. DataError, and nothing changed, for another one."""
        for name, tensor in self._tensors().items():
            found = state.get(name)
            if found is None or found.shape != tuple(tensor.shape) or not np.isfinite(found).all():
                shape = None if found is None else found.shape
                raise DataError(
                    f"the state's {name} has shape {shape}, or is not finite: {tuple(tensor.shape)} is needed"
                )
        for name, tensor in self._tensors().items():
            tensor.copy_(torch.from_numpy(np.ascontiguousarray(state[name])))
        self.num_writes, self.num_refused = (int(count) for count in state["counts"])

    def _tensors(self) -> dict[str, Tensor]:
        return {"weights": self._weights}

    def _moved(self, array: np.ndarray | Tensor) -> Tensor:
        given = torch.from_numpy(array) if isinstance(array, np.ndarray) else array
        return given.to(self._weights.device, self._weights.dtype)

    def _projected(self, keys: Tensor) -> Tensor:
        return keys if self._projection is None else F.linear(keys, self._projection)


class DeltaRule(FastWeights):
    """The cheap mode: M += rate (v - M k) k' / (k'k), Widrow and Hoff 1960. A key of length 0 is refused.

    rate: 0 to 1; with 1 the newest pair is stored exactly and overwrites similar ones.
    """

    def __init__(
        self,
        key_dim: int,
        value_dim: int,
        *,
        rate: float = 1.0,
        rank: int | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__(key_dim, value_dim, rank=rank, device=device, dtype=dtype)
        if not 0.0 < rate <= 1.0:
            raise InputError(f"rate is {rate}: give a number above 0, at most 1")
        self._rate = rate

    def _bind(self, key: Tensor, value: Tensor) -> None:
        # The clamp leaves a key of length 0 without effect.
        scaled = key * (self._rate / key.dot(key).clamp_min(1e-30))
        self._weights.addr_(value - self._weights.mv(key), scaled)


class RecursiveLeastSquares(FastWeights):
    """M minimises sum_i forgetting^(n-i) |v_i - M k_i|^2 + the ridge; Haykin, Adaptive Filter Theory, ch. 10.

    A write is M += (v - M k) g' with g = P k / (forgetting + k'P k), P <- (P - g k'P) / forgetting. The plain
    rule also forgets its ridge, and P then grows without limit along directions without keys: with keys of 4
    directions out of 32 it is not finite after 60,000 writes. Here one coordinate in turn gets a
    pseudo-observation (value 0) every `ridge_every` writes, with the weight that keeps the mean ridge at
    `ridge`: P stays bounded, and what is no longer written fades.

    forgetting: 0 to 1, 1 forgets nothing; InputError where forgetting^rank is under MIN_RETAINED.  ridge:
    above 0, in units of squared key length.
    """

    def __init__(
        self,
        key_dim: int,
        value_dim: int,
        *,
        forgetting: float = 0.9995,
        ridge: float = 1e-3,
        rank: int | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__(key_dim, value_dim, rank=rank, device=device, dtype=dtype)
        if not 0.0 < forgetting <= 1.0 or not 0.0 < ridge < np.inf:
            raise InputError(
                f"forgetting is {forgetting}, ridge {ridge}: give forgetting above 0, at most 1, and a ridge"
                " above 0"
            )
        if forgetting**self.rank < MIN_RETAINED:
            raise InputError(
                f"forgetting is {forgetting} with {self.rank} dimensions: give"
                f" {MIN_RETAINED ** (1.0 / self.rank):.6f} or more, or a lower rank"
            )
        self.ridge_every = max(1, int(1.0 / (self.rank * max(1.0 - forgetting, 1e-9))))
        # An asymmetry of P grows by 1 / forgetting a write, and never shrinks: kept under twice its rounding.
        self._symmetrise_every = max(1, min(256, int(np.log(2.0) / max(1.0 - forgetting, 1e-9))))
        self._forgetting = forgetting
        self._ridge_weight = ridge * self.rank * (1.0 - forgetting**self.ridge_every)
        self._inverse = torch.eye(self.rank, dtype=dtype, device=device) / ridge  # P

    def uncertainty(self, keys: np.ndarray | Tensor) -> Tensor:
        """k'P k of each key, (..., key_dim) -> (...): small where similar keys were written."""
        projected = self._projected(self._moved(keys))
        return (F.linear(projected, self._inverse) * projected).sum(-1)

    def _bind(self, key: Tensor, value: Tensor) -> None:
        forgetting = self._forgetting
        direction = self._inverse.mv(key)  # P k
        total = key.dot(direction) + forgetting
        self._weights.addr_((value - self._weights.mv(key)) / total, direction)
        root = direction / (total * forgetting).sqrt()
        self._inverse.addr_(root, root, beta=1.0 / forgetting, alpha=-1.0)
        num = self.num_writes + 1
        if forgetting < 1.0 and num % self.ridge_every == 0:
            self._restore_ridge(num // self.ridge_every % self.rank)
        if num % self._symmetrise_every == 0:
            self._inverse.add_(self._inverse.T.clone()).mul_(0.5)

    def _restore_ridge(self, coordinate: int) -> None:
        """Observe value 0 at the unit vector of `coordinate` with weight w: a write of sqrt(w) times it."""
        direction = self._inverse[:, coordinate].clone()
        total = direction[coordinate] + 1.0 / self._ridge_weight
        self._weights.addr_(self._weights[:, coordinate] / total, direction, alpha=-1.0)
        root = direction / total.sqrt()
        self._inverse.addr_(root, root, alpha=-1.0)

    def _tensors(self) -> dict[str, Tensor]:
        return {"weights": self._weights, "inverse": self._inverse}


def _is_bounded(array: np.ndarray | Tensor) -> bool:
    """NaN compares as False."""
    if isinstance(array, np.ndarray):
        return bool((np.abs(array) <= MAX_MAGNITUDE).all())
    return bool((array.abs() <= MAX_MAGNITUDE).all())  # sync: once for a tensor on a GPU


def _directions(key_dim: int, rank: int) -> Tensor:
    """(rank, key_dim) orthonormal rows, the same in every run, scaled so that keys keep their mean length."""
    generator = np.random.default_rng(PROJECTION_SEED)
    orthonormal = np.linalg.qr(generator.standard_normal((key_dim, rank)))[0].T
    return torch.from_numpy(orthonormal * np.sqrt(key_dim / rank))
