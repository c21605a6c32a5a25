"""What the others say of each source: leave-one-out prediction by a running Gaussian.

With P the precision matrix of all standardised channels z, the mean of block i given all the rest is
z_i - inv(P_ii) (P z)_i, so one factorisation gives every source's innovation, with the source itself
left out: a confident liar cannot confirm itself. This is the linear part of the audit; the model's masked
forward corrects it. Invariant: readings of distrusted sources teach the Gaussian nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NUM_ROUNDS = 3
STUDENT_DOF = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveOneOut:
    """estimate: (C,) each channel from the other sources.  innovation: (C,) reading minus estimate.
    is_defined: (N,) the Gaussian has seen enough, and somebody else is present."""

    estimate: np.ndarray
    innovation: np.ndarray
    is_defined: np.ndarray


class CrossPredictor:
    """Running covariance with forgetting over C channels of N sources, refactored every `every` updates.

    offsets: (N + 1,) channel range of each source.  ridge: prior variance share that nothing explains;
    it shrinks unlearned relations to "independent".
    """

    def __init__(self, offsets: np.ndarray, *, forgetting: float = 0.998, ridge: float = 0.1, every: int = 8, warmup: int = 48):
        self._offsets = np.asarray(offsets)
        self._sizes = np.diff(self._offsets)
        size = int(self._offsets[-1])
        self._source = np.repeat(np.arange(len(self._offsets) - 1), np.diff(self._offsets))
        self._same_source = self._source[:, None] == self._source[None, :]
        self._forgetting, self._ridge, self._every, self._warmup = forgetting, ridge, every, warmup
        self._sum = np.zeros((size, size))
        self._pair_weight = np.zeros((size, size))
        self._gain = np.zeros((size, size))  # estimate = gain @ z: zero where a source looks at itself
        self.num_updates = 0

    def update(self, z: np.ndarray, trust: np.ndarray, present: np.ndarray) -> None:
        """Learn from z (C,) of the sources `present` (N,), each with weight `trust` (N,)."""
        weight = (trust * present)[self._source]
        usable = np.where(weight > 0, z, 0.0)
        pair = np.sqrt(weight[:, None] * weight[None, :])
        self._sum *= self._forgetting
        self._sum += pair * (usable[:, None] * usable[None, :])
        self._pair_weight *= self._forgetting
        self._pair_weight += pair
        self.num_updates += 1
        if self.num_updates % self._every == 0:
            self._refactor()

    def judge(self, z: np.ndarray, trust: np.ndarray, present: np.ndarray, noise: np.ndarray) -> LeaveOneOut:
        """Every source's reading z (C,) against what the others say of it.

        trust: (N,) 0..1.  present: (N,) bool.  noise: (N,) each source's normal mean squared innovation, 0 while
        unknown. The less a witness is trusted, and the odder its reading looks (Student-t weight, iterated), the
        more that reading gives way to what the rest say of it; a missing one is imputed altogether. All relative to
        the best witness: if nobody were heard, everybody would be surprised, and nobody trusted again.
        """
        prior = np.where(present, (trust / max(trust[present].max(initial=0.0), 1e-9)) ** 2, 0.0)
        weight = prior[self._source]
        heard = weight * z
        for _ in range(NUM_ROUNDS):
            estimate = self._gain @ heard
            square = np.add.reduceat((z - estimate) ** 2, self._offsets[:-1]) / self._sizes
            ratio = np.where(noise > 0, square / np.maximum(noise, 1e-12), 0.0)
            belief = prior / (STUDENT_DOF + np.maximum(ratio, 1.0))
            weight = (belief / max(belief.max(), 1e-12))[self._source]
            heard = weight * z + (1 - weight) * estimate
        estimate = self._gain @ heard
        is_defined = present & (self.num_updates >= self._warmup) & (np.count_nonzero(present) > 1)
        return LeaveOneOut(estimate=estimate, innovation=z - estimate, is_defined=is_defined)

    def rescale(self, ratio: np.ndarray) -> None:
        """The channels' unit changed by `ratio` (C,), old over new: what was learned stays valid."""
        self._sum *= ratio[:, None] * ratio[None, :]
        if self.num_updates:
            self._refactor()

    def _refactor(self) -> None:
        num_effective = (1 - self._forgetting**self.num_updates) / (1 - self._forgetting)
        shrink = self._pair_weight / (self._pair_weight + self._ridge * max(num_effective, 1.0) ** 0.5 * 4)
        covariance = self._sum / np.maximum(self._pair_weight, 1e-9) * shrink
        np.fill_diagonal(covariance, np.diagonal(self._sum) / np.maximum(np.diagonal(self._pair_weight), 1e-9))
        scale = np.sqrt(np.maximum(np.diagonal(covariance), 1e-6))
        correlation = covariance / scale[:, None] / scale[None, :]
        precision = _inverse(correlation + self._ridge * np.eye(len(scale)))
        own = np.where(self._same_source, precision, 0.0)  # block diagonal, P_ii
        gain = -_inverse(own) @ np.where(self._same_source, 0.0, precision)
        self._gain = gain * scale[:, None] / scale[None, :]

    def state(self) -> dict[str, np.ndarray]:
        return {"sum": self._sum, "pair_weight": self._pair_weight, "num_updates": np.array(self.num_updates)}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        self._sum, self._pair_weight = state["sum"].copy(), state["pair_weight"].copy()
        self.num_updates = int(state["num_updates"])
        if self.num_updates:
            self._refactor()


def _inverse(symmetric: np.ndarray) -> np.ndarray:
    """Inverse with eigenvalues floored: pairwise weights can leave a covariance slightly indefinite."""
    values, vectors = np.linalg.eigh(symmetric)
    return (vectors / np.maximum(values, 1e-3)) @ vectors.T
