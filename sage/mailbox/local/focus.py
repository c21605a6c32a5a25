"""The focus mailbox of one process: few large tensors, passed by reference.

Invariant: one writer until publish, one receiver after it, and no slot is reused while a view of it exists.
Only `send` and a `claim` that finds other users copy bytes, and both count them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sage.errors import InputError
from sage.mailbox.clock import Clock
from sage.mailbox.contract import RecordSink
from sage.mailbox.errors import MailboxEmpty, MailboxFull
from sage.mailbox.handles import Lease, Loan
from sage.mailbox.local.backend import Backend, HostBackend
from sage.mailbox.local.exchange import Exchange
from sage.mailbox.local.slot import Slot
from sage.mailbox.local.slot_allocator import SlotAllocator
from sage.mailbox.meta import LOANED
from sage.mailbox.options import Policy, check_pool, check_record_bytes, check_weights
from sage.mailbox.record import RECORD_BYTES
from sage.mailbox.statistics import FocusStatistics
from sage.mailbox.tensor_spec import TensorSpec
from sage.mailbox.trace import MessageTrace


class FocusMailbox:
    """A pool of slots. Give slot_bytes, or pool_bytes to divide among the slots; with both, pool_bytes is a
    limit.

    policy: what happens when no slot is free. "drop_oldest" and "drop_least_trusted" drop a waiting message,
    "drop_newest" refuses the loan, "block" lets `loan` wait, "error" lets `loan` raise at once. Loaned and
    leased slots are never taken.
    quota: maximum slots of one producer; above it the policy applies to its own messages only.
    ttl_ns: default age after which a message is not delivered.
    demoted: receives a summary record of each message dropped as least trusted.
    debug: compare a checksum of publish at release.
    """

    def __init__(
        self,
        name: str,
        *,
        clock: Clock,
        slots: int = 4,
        slot_bytes: int | None = None,
        pool_bytes: int | None = None,
        policy: Policy = "drop_oldest",
        quota: int | None = None,
        ttl_ns: int | None = None,
        demoted: RecordSink | None = None,
        debug: bool = False,
        backend: Backend | None = None,
    ) -> None:
        check_pool(name, slots=slots, policy=policy, quota=quota, ttl_ns=ttl_ns)
        if demoted is not None:
            check_record_bytes(name, demoted.record_bytes, RECORD_BYTES)
        backend = backend or HostBackend()
        self._allocator = SlotAllocator(
            name=name, clock=clock, num_slots=slots, slot_bytes=slot_bytes, pool_bytes=pool_bytes,
            policy=policy, quota=quota, demoted=demoted, backend=backend,
        )  # fmt: skip
        self.name = name
        self.policy = policy
        self.slots = slots
        self.slot_bytes = self._allocator.slot_bytes
        self.quota = quota
        self.ttl_ns = ttl_ns
        self.debug = debug
        self.backend = backend.name
        self._exchange = Exchange(
            name=name, clock=clock, allocator=self._allocator, ttl_ns=ttl_ns, debug=debug
        )
        self._specs: dict[tuple[tuple[int, ...], str], TensorSpec] = {}

    def try_loan(
        self, shape: tuple[int, ...], dtype: str = "float32", *, producer: int = 0, trust: float = 1.0
    ) -> Loan | None:
        """A slot to write a tensor into, or None (counted by reason).

        trust: what "drop_least_trusted" compares for this newcomer; publish sets the message's own. Raises
        InputError for a tensor that fits no slot.
        """
        spec = self._spec(shape, dtype)
        with self._exchange.lock:
            self._exchange.raise_if_closed()
            slot = self._allocator.acquire(producer, trust)
            if slot is None:
                self._allocator.count_refusal(producer)
                return None
            return self._exchange.lend(slot, spec, producer)

    def loan(
        self,
        shape: tuple[int, ...],
        dtype: str = "float32",
        *,
        producer: int = 0,
        trust: float = 1.0,
        timeout_secs: float = 1.0,
    ) -> Loan:
        """`try_loan` that waits up to timeout_secs, except under "error" and "drop_newest".

        Raises MailboxFull with the holders of all slots.
        """
        spec = self._spec(shape, dtype)
        if self.policy in ("error", "drop_newest"):
            timeout_secs = 0.0
        slot: Slot | None = None

        def has_slot() -> bool:
            nonlocal slot
            slot = None if self._exchange.is_closed else self._allocator.acquire(producer, trust)
            return slot is not None or self._exchange.is_closed

        with self._exchange.lock:
            self._exchange.room.wait_for(has_slot, timeout_secs)
            self._exchange.raise_if_closed()
            if slot is None:
                self._allocator.count_refusal(producer)
                raise MailboxFull(self._allocator.explain(producer))
            return self._exchange.lend(slot, spec, producer)

    def send(
        self,
        tensor: Any,
        *,
        stamp_ns: int,
        sequence: int,
        producer: int = 0,
        trust: float = 1.0,
        quality: float = 1.0,
        ttl_ns: int | None = None,
    ) -> bool:
        """Copy an array or a torch tensor into a slot and publish it; False (counted) without a free slot.

        The copy is counted in bytes_copied; write into a loan to avoid it.
        """
        source, dtype = self._allocator.pool.accept(tensor)
        loan = self.try_loan(source.shape, dtype, producer=producer, trust=trust)
        if loan is None:
            return False
        with loan:
            self._exchange.copy_in(loan, source)
            return loan.publish(
                stamp_ns=stamp_ns, sequence=sequence, trust=trust, quality=quality, ttl_ns=ttl_ns
            )

    def post(
        self,
        array: np.ndarray,
        dtype: str,
        *,
        stamp_ns: int,
        sequence: int,
        producer: int = 0,
        trust: float = 1.0,
        quality: float = 1.0,
    ) -> int | None:
        """Loan, write and publish a small array of a `dtype` that numpy has, under one lock.

        Returns the slot's word for a record's header, or None (counted) without a free slot. Not counted in
        bytes_copied, because it is the producer's own write, as into a loan.
        """
        check_weights(self.name, trust, quality)
        spec = self._spec(array.shape, dtype)
        with self._exchange.lock:
            self._exchange.raise_if_closed()
            slot = self._allocator.acquire(producer, trust)
            if slot is None:
                self._allocator.count_refusal(producer)
                return None
            self._exchange.post(slot, spec, array, producer, stamp_ns, sequence, trust, quality)
            return slot.word

    def try_receive(self, *, newest: bool = False) -> Lease | None:
        """The next message (first in, first out by producer, fair between producers), or None.

        newest: the message with the latest stamp; all others are dropped and counted as superseded.
        """
        with self._exchange.lock:
            self._exchange.raise_if_closed()
            slot = self._exchange.next(newest)
            return None if slot is None else self._exchange.borrowed(slot)

    def receive(self, *, timeout_secs: float, newest: bool = False) -> Lease:
        """`try_receive` that waits. Raises MailboxEmpty after timeout_secs."""
        slot: Slot | None = None

        def has_message() -> bool:
            nonlocal slot
            slot = None if self._exchange.is_closed else self._exchange.next(newest)
            return slot is not None or self._exchange.is_closed

        with self._exchange.lock:
            self._exchange.arrivals.wait_for(has_message, timeout_secs)
            self._exchange.raise_if_closed()
            if slot is None:
                raise MailboxEmpty(f"{self.name}: nothing was published within {timeout_secs} s")
            return self._exchange.borrowed(slot)

    def reclaim(self, producer: int) -> int:
        """Take back the open loans of a producer that is gone; returns how many (counted as orphans).

        A later publish of such a loan returns False (stale). Memory that it still views is not reused before
        the last view ends.
        """
        with self._exchange.lock:
            open_loans = [
                s for s in self._allocator.pool.slots if s.state == LOANED and s.producer == producer
            ]
            for slot in open_loans:
                self._allocator.orphan(slot)
            self._exchange.wake_writers()
            return len(open_loans)

    def fileno(self) -> int:
        """A descriptor for an event loop's `add_reader`: readable when a receive may return or raise."""
        with self._exchange.lock:
            descriptor = self._exchange.arrivals.fileno()
            if self._allocator.queue.depth or self._exchange.is_closed:
                self._exchange.arrivals.notify()
            return descriptor

    def statistics(self) -> FocusStatistics:
        with self._exchange.lock:
            return self._exchange.statistics(policy=self.policy)

    def keep_trace(self, trace: MessageTrace | None) -> None:
        """Add each message that is released from now on to `trace`; None stops it."""
        with self._exchange.lock:
            self._exchange.trace = trace

    def close(self) -> None:
        """Drop waiting messages (counted) and raise MailboxClosed in every waiter. Safe to call twice.

        Open leases and views stay valid.
        """
        with self._exchange.lock:
            self._exchange.is_closed = True
            for slot in list(self._allocator.queue):
                self._allocator.drop(slot, "closed")
            self._exchange.arrivals.notify()
            self._exchange.room.notify()

    def __enter__(self) -> FocusMailbox:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _spec(self, shape: tuple[int, ...], dtype: str) -> TensorSpec:
        """Checked once per shape and dtype. Called without the lock: storing into a dict is atomic."""
        key = (shape if type(shape) is tuple else tuple(shape), dtype)
        spec = self._specs.get(key)
        if spec is None:
            spec = TensorSpec(shape=key[0], dtype=dtype)
            if spec.num_bytes > self.slot_bytes:
                raise InputError(
                    f"{self.name}: {dtype} {spec.shape} takes {spec.num_bytes} bytes, a slot has"
                    f" {self.slot_bytes}: raise slot_bytes"
                )
            if len(self._specs) >= 64:
                self._specs.clear()
            self._specs[key] = spec
        return spec
