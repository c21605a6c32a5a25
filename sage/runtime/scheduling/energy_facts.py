"""The ledger of a run in one tick, for reports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyFacts:
    """The ledger of compute credit in micro-units: available + allocated + spent + reserve = supply.

    supply: 0 where energy is not enabled.  charged: in this tick.
    """

    supply: int = 0
    available: int = 0
    allocated: int = 0
    spent: int = 0
    reserve: int = 0
    charged: int = 0


NO_ENERGY = EnergyFacts()
