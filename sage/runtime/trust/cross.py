"""Leave-one-out prediction of each source from the others, by a running Gaussian.

With P the precision matrix of all standardised channels z, the mean of block i given all the rest is z_i -
inv(P_ii) (P z)_i, so one factorisation gives every source's innovation without its own reading. This is the
linear part of the audit; the model's masked row corrects it. Invariant: a source of trust 0 does not change
the Gaussian.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sage.compiled import has_compiler

NUM_ROUNDS = 3
STUDENT_DOF = 4.0
MAX_DEVIATIONS = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveOneOut:
    """estimate: (C,) each channel from the other sources.  innovation: (C,) reading minus estimate.

    is_defined: (N,) bool, the warm-up is over and another source is present.
    """

    estimate: np.ndarray
    innovation: np.ndarray
    is_defined: np.ndarray


class CrossPredictor:
    """Running second moments with forgetting, of C channels of N sources; gains are updated every `every`
    updates.

    offsets: (N + 1,) channel range of each source.  is_witness: (N,) bool, sources that are used and judged;
    a source derived from others is neither.  min_shrinkage: least share of a channel's variance that counts
    as unexplained; more during the first updates.  warmup: updates before an estimate is defined.
    is_compiled: None uses numba where it is installed.
    """

    def __init__(
        self,
        offsets: np.ndarray,
        is_witness: np.ndarray | None = None,
        *,
        forgetting: float = 0.998,
        min_shrinkage: float = 0.02,
        every: int = 8,
        warmup: int = 48,
        is_compiled: bool | None = None,
    ) -> None:
        self._offsets = np.asarray(offsets)
        self._sizes = np.diff(self._offsets)
        size, num_sources = int(self._offsets[-1]), len(self._sizes)
        self._is_witness = np.ones(num_sources, dtype=bool) if is_witness is None else is_witness
        self._source = np.repeat(np.arange(num_sources), self._sizes)
        self._same_source = self._source[:, None] == self._source[None, :]
        self._blocks = _blocks(self._offsets)
        self._forgetting = forgetting
        self._min_shrinkage = min_shrinkage
        self._every = every
        self._warmup = warmup
        self._sum = np.zeros((size, size))  # weighted sum of z z'
        self._weight = np.zeros(size)  # sum of the weights of each channel
        self._gain = np.zeros((size, size))  # estimate = gain @ z: zero within a source
        self._reach = np.zeros(size)  # bound of each reading: a channel that rarely moved explains no jump
        self.num_updates = 0
        self._prior, self._belief = np.zeros(num_sources), np.zeros(num_sources)
        self._bounded, self._used = np.zeros(size), np.zeros(size)
        self._kernel: Any = None
        if has_compiler() if is_compiled is None else is_compiled:
            self._compile()

    def _compile(self) -> None:
        """Compile now, not in the first tick: without a reading nothing changes."""
        from sage.runtime.trust import cross_kernel

        self._kernel = cross_kernel
        z, zeros = np.zeros(len(self._source)), np.zeros(len(self._sizes))
        none = np.zeros(len(self._sizes), dtype=bool)
        self._learn(z, zeros, none)
        self._estimate(z, zeros, none, zeros)

    def update(self, z: np.ndarray, trust: np.ndarray, present: np.ndarray) -> None:
        """Learn from z (C,) of the sources `present` (N,), each with weight `trust` (N,)."""
        self._learn(z, trust, present & self._is_witness)
        self.num_updates += 1
        if self.num_updates % self._every == 0:
            self._refactor()

    def judge(self, z: np.ndarray, trust: np.ndarray, present: np.ndarray, noise: np.ndarray) -> LeaveOneOut:
        """Compare every source's reading z (C,) with its estimate from the others.

        trust: (N,) 0..1.  present: (N,) bool.  noise: (N,) each source's normal mean squared innovation, 0
        while unknown. A reading is replaced by its own estimate, in part where trust is low or the innovation
        is large (Student-t weight, iterated), completely where the source is missing. Weights are relative to
        the most trusted source, so that at least one reading has full weight.
        """
        present = present & self._is_witness
        estimate = self._estimate(z, trust, present, noise)
        is_defined = present & (self.num_updates >= self._warmup) & (np.count_nonzero(present) > 1)
        return LeaveOneOut(estimate=estimate, innovation=z - estimate, is_defined=is_defined)

    def _learn(self, z: np.ndarray, trust: np.ndarray, present: np.ndarray) -> None:
        """Add the readings of the witnesses `present` to the moments."""
        if self._kernel is not None:
            self._kernel.learn(
                z, trust, present, self._source, self._forgetting, self._used, self._sum, self._weight
            )
            return
        weight = np.where(present, trust, 0.0)[self._source]
        weighted = np.sqrt(weight) * z
        self._sum *= self._forgetting
        self._sum += weighted[:, None] * weighted[None, :]
        self._weight *= self._forgetting
        self._weight += weight

    def _estimate(
        self, z: np.ndarray, trust: np.ndarray, present: np.ndarray, noise: np.ndarray
    ) -> np.ndarray:
        """(C,) each channel from the others, by the witnesses `present`."""
        if self._kernel is not None:
            return self._estimate_compiled(z, trust, present, noise)
        prior = np.where(present, (trust / max(trust[present].max(initial=0.0), 1e-9)) ** 2, 0.0)
        weight = prior[self._source]
        bounded = np.clip(z, -self._reach, self._reach)
        used = weight * bounded
        for _ in range(NUM_ROUNDS):
            estimate = self._gain.dot(used)
            square = np.add.reduceat((z - estimate) ** 2, self._offsets[:-1]) / self._sizes
            ratio = np.where(noise > 0, square / np.maximum(noise, 1e-12), 0.0)
            belief = prior / (STUDENT_DOF + np.maximum(ratio, 1.0))
            weight = (belief / max(belief.max(), 1e-12))[self._source]
            used = weight * bounded + (1 - weight) * estimate
        found: np.ndarray = self._gain.dot(used)
        return found

    def _estimate_compiled(
        self, z: np.ndarray, trust: np.ndarray, present: np.ndarray, noise: np.ndarray
    ) -> np.ndarray:
        used, bounded = self._used, self._bounded
        self._kernel.begin(z, trust, present, self._source, self._reach, self._prior, bounded, used)
        for _ in range(NUM_ROUNDS):
            estimate = self._gain.dot(used)
            sums = np.add.reduceat((z - estimate) ** 2, self._offsets[:-1])
            self._kernel.reweigh(
                sums, self._sizes, noise, self._prior, self._source, STUDENT_DOF, bounded, estimate,
                self._belief, used,
            )  # fmt: skip
        found: np.ndarray = self._gain.dot(used)
        return found

    def rescale(self, ratio: np.ndarray) -> None:
        """Change the channels' units by `ratio` (C,), old over new."""
        self._sum *= ratio[:, None] * ratio[None, :]
        if self.num_updates:
            self._refactor()

    def _refactor(self) -> None:
        """Gains from a shrunk correlation matrix, which is positive definite: weighted sums are a Gram
        matrix.
        """
        deviation = np.sqrt(np.diagonal(self._sum))
        is_known = deviation > 1e-9
        unit = np.where(is_known, 1 / np.maximum(deviation, 1e-9), 0.0)
        correlation = self._sum * unit[:, None] * unit[None, :]
        num_effective = (1 - self._forgetting**self.num_updates) / (1 - self._forgetting)
        shrinkage = max(self._min_shrinkage, len(unit) / (len(unit) + num_effective))
        correlation *= 1 - shrinkage
        np.fill_diagonal(correlation, 1.0)
        precision = np.linalg.inv(correlation)
        gain = np.where(self._same_source, 0.0, precision)
        for block in self._blocks:
            own = precision[block[:, :, None], block[:, None, :]]  # (sources, k, k), P_ii
            gain[block] = -np.matmul(np.linalg.inv(own), gain[block])
        scale = deviation / np.sqrt(
            np.maximum(self._weight, 1e-9)
        )  # of z; a channel that is rarely present explains little
        self._reach = MAX_DEVIATIONS * scale
        self._gain = gain * scale[:, None] * np.where(scale > 1e-9, 1 / np.maximum(scale, 1e-9), 0.0)[None, :]

    def state(self) -> dict[str, np.ndarray]:
        return {"sum": self._sum, "weight": self._weight, "num_updates": np.array(self.num_updates)}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        self._sum = state["sum"].copy()
        self._weight = state["weight"].copy()
        self.num_updates = int(state["num_updates"])
        if self.num_updates:
            self._refactor()


def _blocks(offsets: np.ndarray) -> list[np.ndarray]:
    """The channels of the sources of k channels, (sources, k), for each k that occurs."""
    sizes = np.diff(offsets)
    return [
        offsets[:-1][sizes == size][:, None] + np.arange(size)[None, :]
        for size in np.unique(sizes[sizes > 0])
    ]
