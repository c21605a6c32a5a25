"""The position of one subscriber, or one group, in a ring.

Invariant: ticket == start + popped + lost: nothing is skipped without being counted.
"""

from __future__ import annotations

from sage.mailbox.local.waiting import Waiters
from sage.mailbox.statistics import SubscriptionStatistics


class Cursor:
    """ticket: of the next record to read.  group: the name that its members share, or None."""

    __slots__ = ("group", "lost", "name", "num_members", "popped", "ticket", "waiters")

    def __init__(self, name: str, group: str | None, ticket: int, waiters: Waiters) -> None:
        self.name = name
        self.group = group
        self.ticket = ticket
        self.waiters = waiters
        self.num_members = 0
        self.popped = 0
        self.lost = 0

    def advance(self, num_records: int, lost: int) -> None:
        self.ticket += num_records + lost
        self.popped += num_records
        self.lost += lost

    def statistics(self, tail: int) -> SubscriptionStatistics:
        return SubscriptionStatistics(
            name=self.name,
            num_members=self.num_members,
            popped=self.popped,
            lost=self.lost,
            lag=tail - self.ticket,
        )
