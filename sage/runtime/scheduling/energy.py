"""What a run spends of its energy, and what each purpose costs.

Invariant: with energy disabled nothing is charged and nothing is limited; with it enabled nothing is done
that was not allocated, except one segment and the tick itself, which the reserve pays.
"""

from __future__ import annotations

import numpy as np

from sage.runtime.energy_config import EnergyConfig
from sage.runtime.scheduling.energy_facts import NO_ENERGY, EnergyFacts
from sage.runtime.scheduling.ledger import Allocation, EnergyLedger, micro

_STATE = ("supply", "available", "spent", "reserve")


class Energy:
    """Owns the ledger of a run."""

    def __init__(self, config: EnergyConfig, now_ns: int) -> None:
        self._config = config
        self._costs = {purpose: micro(cost) for purpose, cost in config.costs.by_purpose().items()}
        supply = micro(config.supply)
        self.ledger = EnergyLedger(supply, int(supply * config.reserve))
        self._recharged_ns = now_ns
        self._charged = 0  # in this tick

    @property
    def is_enabled(self) -> bool:
        return self._config.enabled

    @property
    def share(self) -> float:
        """What is available, 0..1; 1 where energy is not limited."""
        return self.ledger.share if self.is_enabled else 1.0

    def affordable(self, purpose: str, wanted: int) -> int:
        """How many of `wanted` are available."""
        cost = self._costs[purpose]
        return wanted if not self.is_enabled or cost == 0 else min(wanted, self.ledger.available // cost)

    def charge(self, purpose: str, num: float = 1) -> bool:
        """Allocate and commit. False where it is not available; then nothing is charged."""
        if not self.is_enabled:
            return True
        amount = round(self._costs[purpose] * num)
        allocation = self.ledger.allocate(purpose, amount)
        if allocation is None:
            return False
        self.ledger.commit(allocation)
        self._charged += amount
        return True

    def charge_always(self, purpose: str, num: float = 1) -> None:
        """What is available is charged; the reserve pays the rest, and what it lacks stays unpaid."""
        if self.is_enabled:
            amount = round(self._costs[purpose] * num)
            paid = min(amount, self.ledger.available)
            allocation = self.ledger.allocate(purpose, paid)
            assert allocation is not None, "no more than is available"
            self.ledger.commit(allocation)
            self._charged += paid + self.ledger.draw_reserve(amount - paid)

    def set_aside(self, purpose: str, num: int) -> Allocation | None:
        """Allocate for later; `spend` ends it. None where it is not available. With energy disabled it is of
        nothing.
        """
        return self.ledger.allocate(purpose, self._costs[purpose] * num if self.is_enabled else 0)

    def spend(self, allocation: Allocation, num: int) -> None:
        """Commit `num` of what was set aside, at most all of it, and refund the rest."""
        actual = min(self._costs[allocation.purpose] * num, allocation.amount)
        self.ledger.commit(allocation, actual)
        self._charged += actual

    def recharge(self, now_ns: int) -> None:
        """Give back what the time since the last call is worth."""
        elapsed_ns, self._recharged_ns = max(now_ns - self._recharged_ns, 0), now_ns
        if self.is_enabled:
            self.ledger.recharge(int(micro(self._config.recharge_per_sec) * elapsed_ns // 10**9))

    def facts(self) -> EnergyFacts:
        """Of the tick; starts the next one's count."""
        if not self.is_enabled:
            return NO_ENERGY
        ledger, charged = self.ledger, self._charged
        self._charged = 0
        return EnergyFacts(
            supply=ledger.supply,
            available=ledger.available,
            allocated=ledger.allocated,
            spent=ledger.spent,
            reserve=ledger.reserve,
            charged=charged,
        )

    def state(self) -> dict[str, np.ndarray]:
        """What is set aside counts as available: what it is for does not outlast a restart."""
        state = {name: np.array(getattr(self.ledger, name), dtype=np.int64) for name in _STATE}
        state["available"] += self.ledger.allocated
        return state

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Of another supply, or of an earlier version: nothing changes."""
        if set(_STATE) <= set(state) and int(state["supply"]) == self.ledger.supply:
            self.ledger.restore(*(int(state[name]) for name in _STATE[1:]))
