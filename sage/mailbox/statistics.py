"""Statistics of mailboxes, as frozen snapshots.

Invariant: a snapshot is consistent (taken under the mailbox's lock) and never changes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from sage.mailbox.histogram import Percentiles


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionStatistics:
    """One cursor, of a subscriber or a group.  lag: records not read yet.  lost: exact."""

    name: str
    num_members: int
    popped: int
    lost: int
    lag: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PeripheralStatistics:
    """Counts of a peripheral mailbox.

    refused: records that a lossless ring had no room for.  push_to_pop: of the oldest record of each pop.
    depth: lag of the slowest cursor.  high_water: the maximum of depth; both at most capacity.
    """

    name: str
    mode: str
    capacity: int
    record_bytes: int
    pushed: int
    popped: int
    refused: int
    lost: int
    bytes_copied: int
    depth: int
    high_water: int
    push_to_pop: Percentiles
    subscriptions: tuple[SubscriptionStatistics, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DropCounts:
    """Messages that were not received and loans that were refused, by reason.

    oldest, least_trusted: dropped by policy for a newer message.  newest: loan refused, no free slot.
    quota: loan refused, the producer used its quota.  expired: older than its TTL.
    superseded: skipped by receive(newest=True).  stale: published after its slot was taken back.
    closed: not received before the mailbox closed.
    no_receiver: published with receivers="each" while no process listened.
    """

    oldest: int = 0
    newest: int = 0
    least_trusted: int = 0
    quota: int = 0
    expired: int = 0
    superseded: int = 0
    stale: int = 0
    closed: int = 0
    no_receiver: int = 0

    @property
    def total(self) -> int:
        return sum(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProducerStatistics:
    """Counts of one producer.  held: slots in use by its loans and messages now."""

    producer: int
    pushed: int
    held: int
    drops: DropCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class FocusStatistics:
    """Counts of a focus mailbox.

    bytes_copied: by `send` and `claim`; 0 if every tensor is loaned, published and leased.
    bytes_referenced: of all received tensors.  depth: messages waiting.  high_water: the maximum of depth.
    leaks: slots held by views after their release, now; leaks_total: how often that happened.
    orphans: loans and leases dropped without an end, or taken back.
    popped equals pushed - depth - drops.(oldest + least_trusted + expired + superseded + closed +
    no_receiver).
    """

    name: str
    policy: str
    slots: int
    slot_bytes: int
    free: int
    pushed: int
    popped: int
    bytes_copied: int
    bytes_referenced: int
    depth: int
    high_water: int
    leaks: int
    leaks_total: int
    orphans: int
    drops: DropCounts
    producers: tuple[ProducerStatistics, ...]
    holders: tuple[str, ...]
    push_to_pop: Percentiles
    borrow: Percentiles
