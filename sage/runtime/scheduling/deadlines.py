"""Earliest deadline first with a constant-bandwidth server for each claimant (Abeni and Buttazzo, RTSS 1998,
section 3).

Time and work are counted in integers. Invariant: a server that asks for more than its budget postpones its
own deadline, so that the others keep theirs while the sum of budget / period is at most the capacity.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sage.errors import InputError

#: Of a server without work.
NEVER = np.iinfo(np.int64).max


class DeadlineServers:
    """One server a claimant: `budgets` units of work in every `periods` units of time, all at least 1.

    capacity: units of work in one unit of time.  is_parallel: one server may get several units at a time;
    otherwise at most one. Raises InputError where the servers need more than the capacity.
    """

    def __init__(
        self, budgets: Sequence[int], periods: Sequence[int], *, capacity: int = 1, is_parallel: bool = True
    ) -> None:
        self.budgets = np.array(budgets, dtype=np.int64)
        self.periods = np.array(periods, dtype=np.int64)
        if len(self.budgets) != len(self.periods):
            raise InputError(
                f"{len(self.budgets)} budgets for {len(self.periods)} periods: give one of each a server"
            )
        if (self.budgets < 1).any() or (self.periods < 1).any():
            raise InputError("a budget or a period is below 1: give whole numbers from 1")
        self._capacity = capacity
        self._most = np.iinfo(np.int64).max if is_parallel else 1
        if self.utilisation > 1 + 1e-9:
            raise InputError(
                f"the servers use {self.utilisation:.2f} of the capacity {capacity}: give longer periods,"
                " smaller budgets or more capacity"
            )
        num = len(self.budgets)
        self.pending = np.zeros(num, dtype=np.int64)  # work not done yet
        self.remaining = np.zeros(num, dtype=np.int64)  # of the budget
        self.deadlines = np.zeros(num, dtype=np.int64)

    @property
    def utilisation(self) -> float:
        """Share of the capacity that the servers may use, 0..1."""
        return float((self.budgets / self.periods).sum()) / self._capacity

    def arrive(self, work: np.ndarray, now: int) -> None:
        """Add work, (N,) units. A server that was idle keeps its deadline only where the rest of its budget
        fits its rate.
        """
        starts = (work > 0) & (self.pending == 0)
        room = np.maximum(self.deadlines - now, 0) * self.budgets
        renewed = starts & (self.remaining * self.periods >= room)
        self.deadlines = np.where(renewed, now + self.periods, self.deadlines)
        self.remaining = np.where(renewed, self.budgets, self.remaining)
        self.pending = self.pending + work

    def order(self) -> np.ndarray:
        """(N,) deadlines of the servers with work, NEVER for the others."""
        return np.where(self.pending > 0, self.deadlines, NEVER)

    def serve(self, index: int, units: int) -> None:
        """Charge `units` of work done for one server."""
        self.pending[index] = max(int(self.pending[index]) - units, 0)
        left = int(self.remaining[index]) - units
        while left <= 0:
            left += int(self.budgets[index])
            self.deadlines[index] += self.periods[index]
        self.remaining[index] = left

    def run(self) -> np.ndarray:
        """Spend the capacity of one unit of time; returns (N,) the units that each server got."""
        given = np.zeros(len(self.budgets), dtype=np.int64)
        for _ in range(self._capacity):
            order = np.where(given < self._most, self.order(), NEVER)
            if not len(order):
                break
            index = int(order.argmin())
            if order[index] == NEVER:
                break
            self.serve(index, 1)
            given[index] += 1
        return given
