"""The ledger of compute credit (ATP) in integer micro-units: allocate, then commit or refund.

Invariant: available + allocated + spent + reserve = supply after every operation, and none is negative.
Nothing changes the supply; recharging moves spent credit back to what is available.
"""

from __future__ import annotations

from dataclasses import dataclass

from sage.errors import InputError

#: Micro-units of one unit.
MICRO = 1_000_000


def micro(units: float) -> int:
    return round(units * MICRO)


@dataclass(frozen=True, slots=True, eq=False)
class Allocation:
    """Credit that is set aside for a purpose until `commit` or `refund`, once."""

    purpose: str
    amount: int


class EnergyLedger:
    """All amounts in micro-units. reserve: for crises; only `draw_reserve` takes from it."""

    def __init__(self, supply: int, reserve: int = 0) -> None:
        if not 0 <= reserve <= supply or supply <= 0:
            raise InputError(
                f"supply {supply}, reserve {reserve}: give a supply above 0, a reserve within it"
            )
        self.supply = supply
        self.available = supply - reserve
        self.spent = 0
        self.reserve = reserve
        self._full_reserve = reserve
        self._open: set[Allocation] = set()

    @property
    def allocated(self) -> int:
        return sum(each.amount for each in self._open)

    @property
    def share(self) -> float:
        """What is available, as a share of all but the reserve, 0..1."""
        return self.available / max(self.supply - self._full_reserve, 1)

    def allocate(self, purpose: str, amount: int) -> Allocation | None:
        """Set credit aside. None where less is available; then nothing changes."""
        if amount < 0:
            raise InputError(f"allocate {amount} for {purpose}: give an amount from 0")
        if amount > self.available:
            return None
        allocation = Allocation(purpose, amount)
        self._open.add(allocation)
        self.available -= amount
        return allocation

    def commit(self, allocation: Allocation, actual: int | None = None) -> None:
        """Spend `actual` of an allocation, all of it where None, and refund the rest. InputError for more."""
        actual = allocation.amount if actual is None else actual
        if not 0 <= actual <= allocation.amount:
            raise InputError(
                f"commit {actual} of {allocation.amount} for {allocation.purpose}: allocate before spending"
            )
        self._end(allocation)
        self.spent += actual
        self.available += allocation.amount - actual

    def refund(self, allocation: Allocation) -> None:
        self.commit(allocation, 0)

    def recharge(self, amount: int) -> int:
        """Make spent credit available again, the reserve first; returns how much there was."""
        amount = min(max(amount, 0), self.spent)
        to_reserve = min(amount, self._full_reserve - self.reserve)
        self.spent -= amount
        self.reserve += to_reserve
        self.available += amount - to_reserve
        return amount

    def draw_reserve(self, amount: int) -> int:
        """Spend credit of the reserve; returns how much, at most `amount`."""
        amount = min(max(amount, 0), self.reserve)
        self.reserve -= amount
        self.spent += amount
        return amount

    def restore(self, available: int, spent: int, reserve: int) -> bool:
        """From a snapshot, before anything is allocated. False, and no change, where it does not add up."""
        if min(available, spent, reserve) < 0 or available + spent + reserve != self.supply or self._open:
            return False
        self.available, self.spent, self.reserve = available, spent, reserve
        return True

    def _end(self, allocation: Allocation) -> None:
        if allocation not in self._open:
            raise InputError(f"the allocation for {allocation.purpose} has ended: commit or refund it once")
        self._open.remove(allocation)
