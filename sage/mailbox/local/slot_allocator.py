"""Allocation of the slots of a focus pool: policies, quotas, expiry, orphans.

Invariant: only waiting messages are dropped; open loans and leases are never taken.
Not thread-safe: called with the mailbox's lock held.
"""

from __future__ import annotations

import numpy as np

from sage.mailbox.clock import Clock
from sage.mailbox.contract import RecordSink
from sage.mailbox.local.backend import Backend
from sage.mailbox.local.fair_queue import FairQueue
from sage.mailbox.local.ledger import Ledger
from sage.mailbox.local.slot import Slot, make_pool
from sage.mailbox.meta import FREE, PUBLISHED, RELEASING
from sage.mailbox.options import Policy, bytes_per_slot
from sage.mailbox.record import DEMOTED, RECORD, summarize


class SlotAllocator:
    """The pool with its free list, its waiting messages and the producers' accounts."""

    def __init__(
        self,
        *,
        name: str,
        clock: Clock,
        num_slots: int,
        slot_bytes: int | None,
        pool_bytes: int | None,
        policy: Policy,
        quota: int | None,
        demoted: RecordSink | None,
        backend: Backend,
    ) -> None:
        self.slot_bytes = bytes_per_slot(name, num_slots, slot_bytes, pool_bytes)
        self.pool = make_pool(num_slots=num_slots, slot_bytes=self.slot_bytes, backend=backend)
        self.free = self.pool.slots[::-1]
        self.queue = FairQueue()
        self.ledger = Ledger()
        self.leaks_total = 0
        self.orphans = 0
        self._name = name
        self._policy = policy
        self._demoted = demoted
        self._quota = num_slots + 1 if quota is None else quota  # without a quota only the pool is a limit
        self._now_ns = clock.now_ns
        self._refusal = "newest"

    def acquire(self, producer: int, trust: float) -> Slot | None:
        """A free slot for `producer`, made free by the policy if necessary; None sets the reason for
        `count_refusal`.
        """
        account = self.ledger[producer]
        if not self.free or account.held >= self._quota:
            self.sweep()
            self.drop_expired()
        while account.held >= self._quota:
            if not self._evict(producer, trust):
                self._refusal = self._refusal or "quota"
                return None
        while not self.free:
            if not self._evict(None, trust):
                self._refusal = self._refusal or "newest"
                return None
        return self.free.pop()

    def count_refusal(self, producer: int) -> None:
        """Count the loan that the last `acquire` refused."""
        self.ledger[producer].drops[self._refusal] += 1

    def drop(self, slot: Slot, reason: str) -> None:
        """Remove a waiting message from the queue and free its slot."""
        self.queue.remove(slot)
        self.count_drop(slot, reason)

    def count_drop(self, slot: Slot, reason: str) -> None:
        """Free the slot of a message that is not in the queue."""
        self.ledger[slot.producer].drops[reason] += 1
        self.retire(slot)

    def drop_expired(self) -> None:
        now_ns = self._now_ns()
        for slot in [s for s in self.queue if s.deadline_ns is not None and now_ns >= s.deadline_ns]:
            self.drop(slot, "expired")

    def retire(self, slot: Slot) -> None:
        """End the slot's message: free it now, or set it RELEASING until no view of it exists."""
        slot.handle = None
        if slot.fence is None:
            slot.fence = self.pool.order.retired(slot.index, is_holder=False)
        slot.state = RELEASING
        if slot.is_idle():
            self._free(slot)
        elif slot.is_viewed():
            self.leaks_total += 1
            slot.is_leaked = True

    def orphan(self, slot: Slot) -> None:
        """Retire a slot whose holder did not end its handle."""
        self.orphans += 1
        self.retire(slot)

    def sweep(self) -> None:
        """Check for events without a callback: dropped handles, ended views, passed fences."""
        for slot in self.pool.slots:
            if slot.is_abandoned():
                self.orphan(slot)
            elif slot.state == RELEASING:
                self._settle(slot)

    def holders(self) -> tuple[str, ...]:
        return tuple(slot.describe() for slot in self.pool.slots if slot.state != FREE)

    def explain(self, producer: int) -> str:
        """One line for MailboxFull: the reason, the remedy, the holders."""
        held = self.ledger[producer].held
        if held >= self._quota:
            return (
                f"{self._name}: producer {producer} holds its quota of {self._quota}: release or raise quota"
                f" ({self._held_by()})"
            )
        return (
            f"{self._name}: no free slot among {len(self.pool.slots)}: release sooner or raise slots"
            f" ({self._held_by()})"
        )

    def _held_by(self) -> str:
        return "; ".join(self.holders())

    def _settle(self, slot: Slot) -> None:
        """Free it if no view of it exists."""
        if slot.is_leaked and not slot.is_viewed():
            slot.is_leaked = False  # work may have been queued on a view until it ended
            late = self.pool.order.retired(slot.index, is_holder=False)
            slot.fence = slot.fence if late is None else late
        if slot.is_idle():
            self._free(slot)

    def _free(self, slot: Slot) -> None:
        self.ledger[slot.producer].held -= 1
        slot.state = FREE
        slot.generation = (slot.generation + 1) & 0xFFFFFFFF  # 32 bits in a record's header
        slot.view = slot.fence = slot.checksum = None
        slot.is_leaked = False
        self.pool.order.freed(slot.index)
        self.free.append(slot)

    def _evict(self, producer: int | None, trust: float) -> bool:
        """Drop one waiting message (of `producer`, or of all) by the policy; False if it drops none."""
        self._refusal = ""
        if self._policy == "drop_oldest":
            slot = self.queue.oldest(producer)
            if slot is not None:
                self.drop(slot, "oldest")
            return slot is not None
        if self._policy == "drop_least_trusted":
            return self._evict_least_trusted(producer, trust)
        return False

    def _evict_least_trusted(self, producer: int | None, trust: float) -> bool:
        slot = self.queue.least_trusted(producer)
        if slot is None:
            return False
        if slot.trust > trust:  # the newcomer has the lowest trust: it is refused
            self._refusal = "least_trusted"
            return False
        self._demote(slot)
        self.drop(slot, "least_trusted")
        return True

    def _demote(self, slot: Slot) -> None:
        """Push a summary record of the dropped tensor."""
        if self._demoted is None:
            return
        assert slot.state == PUBLISHED
        assert slot.spec is not None
        record = np.zeros((), dtype=RECORD)
        summarize(
            record,
            self.pool.values(slot),
            producer=slot.producer,
            sequence=slot.sequence,
            stamp_ns=slot.stamp_ns,
            trust=slot.trust,
            quality=slot.quality,
            slot=slot.index,
            generation=slot.generation,
            flags=DEMOTED,
        )
        self._demoted.push(record)
