"""The mailbox contract: what producers and consumers may call on any mailbox.

Peripheral mailboxes broadcast small records; focus mailboxes pass large tensors by reference. Invariant: code
that uses a mailbox names only these Protocols; the conformance suite in tests/mailbox runs on every
implementation of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from sage.mailbox.meta import FocusMeta
from sage.mailbox.options import Start
from sage.mailbox.statistics import FocusStatistics, PeripheralStatistics
from sage.mailbox.trace import MessageTrace

_Self = TypeVar("_Self")


class Batch(NamedTuple):
    """Result of one pop. Use its fields by name: its length is the number of records. It is a tuple because
    making a frozen dataclass takes half as long again.

    records: (n,) of the ring's dtype, a copy that belongs to the caller, with tickets first_ticket ..
    first_ticket + n - 1.  lost: records overwritten between the previous pop and this one.
    """

    records: np.ndarray
    lost: int
    first_ticket: int

    def __len__(self) -> int:
        return len(self.records)


class Ends(Protocol):
    """An object whose end is the end of its `with` block."""

    def __enter__(self: _Self) -> _Self: ...

    def __exit__(self, *exc_info: object) -> None: ...


class RecordSink(Protocol):
    """Accepts single records."""

    @property
    def record_bytes(self) -> int: ...

    def push(self, record: np.ndarray | np.void | bytes, *, timeout_secs: float = 0.0) -> bool:
        """Append one record; False if a lossless ring stayed full for `timeout_secs`.

        record: shape () or (1,) of the ring's dtype, or its bytes; payload past its `length` is zeroed.
        Raises MailboxClosed after close.
        """
        ...


class Subscription(Ends, Protocol):
    """The receiving end of a peripheral mailbox. Use it from one thread."""

    def pop_many(
        self, max_records: int, *, timeout_secs: float = 0.0, out: np.ndarray | None = None
    ) -> Batch:
        """Up to `max_records` records, as soon as there is one; an empty batch after `timeout_secs`.

        out: (n,) of the ring's dtype, contiguous, n >= max_records; then batch.records is a view of it.
        Raises MailboxClosed if this subscription is closed, or if the mailbox is closed and nothing is left.
        """
        ...

    def try_pop_many(self, max_records: int, *, out: np.ndarray | None = None) -> Batch:
        """`pop_many` that never waits."""
        ...

    def fileno(self) -> int:
        """A descriptor for an event loop's `add_reader`: readable when a pop may return records or raise."""
        ...

    def close(self) -> None:
        """Unsubscribe. Unread records no longer block a lossless writer. Safe to call twice."""
        ...


class Peripheral(RecordSink, Ends, Protocol):
    """A broadcast ring: every subscriber receives every record, or the exact number lost."""

    @property
    def name(self) -> str: ...

    @property
    def capacity(self) -> int: ...

    @property
    def dtype(self) -> np.dtype: ...

    def push_many(self, records: np.ndarray, *, timeout_secs: float = 0.0) -> int:
        """Append `records` (n,) in order; returns how many were appended.

        That is n, unless a lossless ring stayed full for `timeout_secs`: then the first ones, and the rest
        counts as refused. Raises MailboxClosed after close.
        """
        ...

    def subscribe(self, *, start: Start = "latest", group: str | None = None) -> Subscription:
        """A cursor of its own, or with `group` one cursor that all members share (a work queue).

        start: "latest" reads records pushed from now on, "oldest" the history too, a ticket continues there
        (records that are overwritten by then count as lost). Only a group's first member sets it.
        """
        ...

    def statistics(self) -> PeripheralStatistics: ...

    def close(self) -> None:
        """No more pushes. Subscribers receive what is left, then MailboxClosed. Safe to call twice."""
        ...


class Loan(Ends, Protocol):
    """A slot to write a tensor into."""

    @property
    def array(self) -> Any: ...

    @property
    def tensor(self) -> Any: ...

    @property
    def word(self) -> int: ...

    def publish(
        self,
        *,
        stamp_ns: int,
        sequence: int,
        trust: float = 1.0,
        quality: float = 1.0,
        ttl_ns: int | None = None,
    ) -> bool: ...

    def discard(self) -> None: ...


class Lease(Ends, Protocol):
    """A received tensor, valid until release."""

    @property
    def array(self) -> Any: ...

    @property
    def tensor(self) -> Any: ...

    @property
    def meta(self) -> FocusMeta: ...

    def claim(self) -> Any: ...

    def release(self) -> None: ...


class FocusSender(Protocol):
    """The producer's side of a focus mailbox."""

    def try_loan(
        self, shape: tuple[int, ...], dtype: str = "float32", *, producer: int = 0, trust: float = 1.0
    ) -> Loan | None:
        """A slot to write a tensor into, or None (counted by reason).

        trust: what "drop_least_trusted" compares for this newcomer; publish sets the message's own.
        Raises InputError for a tensor that fits no slot.
        """
        ...

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
        ...

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
        ...

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
        """Loan, write and publish a small array of a `dtype` that numpy has in one call.

        Returns the slot's word for a record's header, or None (counted) without a free slot. Not counted in
        bytes_copied, because it is the producer's own write, as into a loan.
        """
        ...

    def reclaim(self, producer: int) -> int:
        """Take back the open loans of a producer that is gone; returns how many (counted as orphans).

        A later publish of such a loan returns False (stale). Memory that it still views is not reused before
        the last view ends.
        """
        ...


class FocusReceiver(Protocol):
    """The consumer's side of a focus mailbox."""

    def try_receive(self, *, newest: bool = False) -> Lease | None:
        """The next message (first in, first out by producer, fair between producers), or None.

        newest: the message with the latest stamp; all others are dropped and counted as superseded.
        """
        ...

    def receive(self, *, timeout_secs: float, newest: bool = False) -> Lease:
        """`try_receive` that waits. Raises MailboxEmpty after timeout_secs."""
        ...

    def fileno(self) -> int:
        """A descriptor for an event loop's `add_reader`: readable when a receive may return or raise."""
        ...


class Focus(FocusSender, FocusReceiver, Ends, Protocol):
    """A pool of slots: one writer until publish, readers after it, and no slot is reused while it is
    viewed.
    """

    @property
    def name(self) -> str: ...

    @property
    def slots(self) -> int: ...

    @property
    def slot_bytes(self) -> int: ...

    def statistics(self) -> FocusStatistics: ...

    def keep_trace(self, trace: MessageTrace | None) -> None:
        """Add each message that is released from now on to `trace`; None stops it."""
        ...

    def close(self) -> None:
        """Drop waiting messages (counted) and raise MailboxClosed in every waiter. Safe to call twice.

        Open leases and views stay valid.
        """
        ...
