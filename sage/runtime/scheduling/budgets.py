"""Limits of one tick in counted units, shared by predictions, puzzles and recall.

Invariant: what is taken of a kind in one tick never exceeds its limit.
"""

from __future__ import annotations

from collections.abc import Mapping

from sage.errors import InputError


class TickBudget:
    """limits: by kind, for example segments, tokens, wall_ns, bytes; None: not limited, but counted."""

    def __init__(self, limits: Mapping[str, int | None]) -> None:
        for kind, limit in limits.items():
            if limit is not None and limit < 0:
                raise InputError(f"the limit of {kind} is {limit}: give a number from 0, or null")
        self.limits = dict(limits)
        self.taken = dict.fromkeys(limits, 0)

    def start(self) -> None:
        """A new tick: nothing is taken."""
        self.taken = dict.fromkeys(self.limits, 0)

    def short_of(self, **amounts: int) -> str:
        """The first kind whose limit these amounts would exceed, "" where all fit. KeyError: no such kind."""
        for kind, amount in amounts.items():
            limit = self.limits[kind]
            if limit is not None and self.taken[kind] + amount > limit:
                return kind
        return ""

    def take(self, **amounts: int) -> bool:
        """Take all amounts, or none of them where one does not fit."""
        if any(amount < 0 for amount in amounts.values()):
            raise InputError(f"take {amounts}: give amounts from 0")
        if self.short_of(**amounts):
            return False
        for kind, amount in amounts.items():
            self.taken[kind] += amount
        return True

    def left(self, kind: str) -> int | None:
        """None: not limited."""
        limit = self.limits[kind]
        return None if limit is None else limit - self.taken[kind]
