"""Who gets a slot of a focus pool, and what must go for it: policies, quotas, expiry, orphans.

Invariant: only messages that wait are ever dropped; a loan of the living and a lease are never taken.
Not locked: the mailbox calls it with its lock held.
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
    """The pool with its free list, the waiting messages and each producer's account."""

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
        self._quota = num_slots + 1 if quota is None else quota  # without one, only the pool is a limit
        self._now_ns = clock.now_ns
        self._refusal = "newest"

    def acquire(self, producer: int, trust: float) -> Slot | None:
        """A free slot for `producer`, made free by the policy if need be; None leaves a reason for
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
        """Take a waiting message off the queue and let its slot go."""
        self.queue.remove(slot)
        self.count_drop(slot, reason)

    def count_drop(self, slot: Slot, reason: str) -> None:
        """Let go of a message that is off the queue already."""
        self.ledger[slot.producer].drops[reason] += 1
        self.retire(slot)

    def drop_expired(self) -> None:
        now_ns = self._now_ns()
        for slot in [s for s in self.queue if s.deadline_ns is not None and now_ns >= s.deadline_ns]:
            self.drop(slot, "expired")

    def retire(self, slot: Slot) -> None:
        """The slot's message is over: free now, or releasing until nobody can see its memory."""
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
        """Its holder went away without an end."""
        self.orphans += 1
        self.retire(slot)

    def sweep(self) -> None:
        """Find what nobody reports: handles dropped without an end, views that died, fences that passed."""
        for slot in self.pool.slots:
            if slot.is_abandoned():
                self.orphan(slot)
            elif slot.state == RELEASING:
                self._settle(slot)

    def holders(self) -> tuple[str, ...]:
        return tuple(slot.describe() for slot in self.pool.slots if slot.state != FREE)

    def explain(self, producer: int) -> str:
        """Why there is no slot, who holds them, what to do: one line."""
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
        """Free it if nobody can see it any more."""
        if slot.is_leaked and not slot.is_viewed():
            slot.is_leaked = (
                False  # a view that outlived the release may have had work queued on it until it died
            )
            late = self.pool.order.retired(slot.index, is_holder=False)
            slot.fence = slot.fence if late is None else late
        if slot.is_idle():
            self._free(slot)

    def _free(self, slot: Slot) -> None:
        self.ledger[slot.producer].held -= 1
        slot.state = FREE
        slot.generation = (slot.generation + 1) & 0xFFFFFFFF  # a record's header has 32 bits for it
        slot.view = slot.fence = slot.checksum = None
        slot.is_leaked = False
        self.pool.order.freed(slot.index)
        self.free.append(slot)

    def _evict(self, producer: int | None, trust: float) -> bool:
        """Drop one waiting message (of `producer`, or of anybody) as the policy says; False if it may not."""
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
        if slot.trust > trust:  # the newcomer is the least trusted of all: it is the one to go
            self._refusal = "least_trusted"
            return False
        self._demote(slot)
        self.drop(slot, "least_trusted")
        return True

    def _demote(self, slot: Slot) -> None:
        """Leave a summary record in the tensor's place."""
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
