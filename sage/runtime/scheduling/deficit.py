"""Deficit round robin (Shreedhar and Varghese, IEEE/ACM Transactions on Networking 1996) with weights.

In a round a claimant's deficit grows by its weight; it is served once the deficit covers its cost. Rounds
without a service are skipped in one step. Invariant: 0 <= deficit <= the largest cost so far, so that each
claimant's work is within one cost of its weight times the number of rounds (the lag). A claimant gets at most
one service a choice; credit for more than one more is lost.
"""

from __future__ import annotations

import numpy as np


class DeficitRoundRobin:
    """deficits: (N,) of the claimants.  rounds: so far, a real number."""

    def __init__(self, num: int) -> None:
        self.deficits = np.zeros(num)
        self.rounds = 0.0
        self._next = 0  # ties go round from here

    def choose(
        self, weights: np.ndarray, candidates: np.ndarray, capacity: float, costs: np.ndarray | None = None
    ) -> np.ndarray:
        """(K,) indices of the candidates that are served, in order; the sum of their costs is at most
        `capacity`.

        weights: (N,) >= 0; without a weight a candidate is served only where no other wants the capacity.
        costs: (N,) > 0, 1 where None.
        """
        found = np.flatnonzero(candidates)
        if not len(found):
            return found
        price = np.ones(len(found)) if costs is None else costs[found]
        weight = np.maximum(weights[found], 1e-9)
        needed = np.maximum((price - self.deficits[found]) / weight, 0.0)
        order = np.lexsort(((found - self._next) % len(self.deficits), needed))
        fits = np.cumsum(price[order]) <= capacity + 1e-9
        num = int(fits.sum())
        if num == 0:
            return found[:0]
        served = order[:num]
        passed = float(needed[served[-1]])
        self.rounds += passed
        deficits = self.deficits[found] + passed * weight
        deficits[served] -= price[served]
        self.deficits[found] = np.clip(deficits, 0.0, price)
        chosen = found[served]
        self._next = (int(chosen[-1]) + 1) % len(self.deficits)
        return chosen
