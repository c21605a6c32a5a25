"""Counts of each producer of a focus mailbox: messages, slots in use, drops by reason.

Invariant: `held` is the number of this producer's slots that are not free.
"""

from __future__ import annotations

from dataclasses import fields

from sage.mailbox.statistics import DropCounts, ProducerStatistics

REASONS = tuple(field.name for field in fields(DropCounts))


class Account:
    """Counts of one producer. Not thread-safe: used with the mailbox's lock held."""

    __slots__ = ("drops", "held", "producer", "pushed")

    def __init__(self, producer: int) -> None:
        self.producer = producer
        self.pushed = 0
        self.held = 0
        self.drops = dict.fromkeys(REASONS, 0)

    def statistics(self) -> ProducerStatistics:
        return ProducerStatistics(
            producer=self.producer, pushed=self.pushed, held=self.held, drops=DropCounts(**self.drops)
        )


class Ledger(dict[int, Account]):
    """Accounts by producer, created on first use."""

    def __missing__(self, producer: int) -> Account:
        account = self[producer] = Account(producer)
        return account

    def drops(self) -> DropCounts:
        return DropCounts(
            **{reason: sum(account.drops[reason] for account in self.values()) for reason in REASONS}
        )

    def pushed(self) -> int:
        return sum(account.pushed for account in self.values())
