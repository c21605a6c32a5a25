"""The two handles of a focus message: a Loan to write and publish, a Lease to read and release.

A handle keeps what identifies its slot and calls its store for everything else. Invariant: a handle raises
LeaseExpired after its end; an array taken from it before stays valid and holds the slot.
"""

from __future__ import annotations

from typing import Any, NoReturn, Protocol

import numpy as np

from sage.mailbox.errors import LeaseExpired
from sage.mailbox.meta import FocusMeta


class Store(Protocol):
    """Memory and bookkeeping of one focus mailbox, as its handles see them."""

    @property
    def epoch(self) -> int:
        """Handles of another epoch are not this process's (0 where a fork changes nothing)."""
        ...

    @property
    def is_ordered(self) -> bool:
        """Whether every access must be ordered anew on a stream; then handles keep no view."""
        ...

    def index_of(self, place: Any) -> int:
        """The slot's number."""
        ...


class LoanStore(Store, Protocol):
    """What a Loan calls."""

    def view_loan(self, loan: Loan) -> Any: ...

    def tensor_of_loan(self, loan: Loan) -> Any: ...

    def publish(
        self, loan: Loan, stamp_ns: int, sequence: int, trust: float, quality: float, ttl_ns: int | None
    ) -> bool: ...

    def discard(self, loan: Loan) -> None: ...


class DLPackStore(Protocol):
    """What DLPack's protocol needs of a Lease."""

    def dlpack(self, lease: Lease, stream: int | None, options: dict[str, Any]) -> Any: ...

    def dlpack_device(self, lease: Lease) -> tuple[int, int]: ...


class LeaseStore(Store, DLPackStore, Protocol):
    """What a Lease calls."""

    def view_lease(self, lease: Lease) -> Any: ...

    def tensor_of_lease(self, lease: Lease) -> Any: ...

    def meta(self, lease: Lease) -> FocusMeta: ...

    def claim(self, lease: Lease) -> Any: ...

    def release(self, lease: Lease) -> None: ...


class Loan:
    """A slot to write into. End it with publish or discard; leaving `with` without publishing discards."""

    __slots__ = (
        "__weakref__",
        "_array",
        "_store",
        "epoch",
        "form",
        "generation",
        "is_ended",
        "place",
        "producer",
    )

    def __init__(self, store: LoanStore, place: Any, form: Any, generation: int, producer: int) -> None:
        """place, form: how the store finds the slot and describes its tensor; only the store reads them."""
        self._store = store
        self.place = place
        self.form = form
        self.generation = generation
        self.producer = producer
        self.epoch = store.epoch
        self.is_ended = False
        self._array: Any = None

    @property
    def index(self) -> int:
        return self._store.index_of(self.place)

    @property
    def word(self) -> int:
        """Slot and generation in one 64-bit word, as a record's header contains them."""
        return self._store.index_of(self.place) | self.generation << 32

    @property
    def array(self) -> Any:
        """The tensor's memory, writable until publish: a numpy array, or a CuPy array on a device.

        Its initial content is undefined.
        """
        if self._array is None or self.is_ended or self._store.is_ordered:
            self._array = self._store.view_loan(self)
        return self._array

    @property
    def tensor(self) -> Any:
        """The same memory as a torch tensor. torch cannot make it read-only: do not write after publish."""
        return self._store.tensor_of_loan(self)

    def publish(
        self,
        *,
        stamp_ns: int,
        sequence: int,
        trust: float = 1.0,
        quality: float = 1.0,
        ttl_ns: int | None = None,
    ) -> bool:
        """Publish the tensor. False if the slot was taken back before (counted as stale).

        ttl_ns: the message expires this long after now; None uses the mailbox's default.
        """
        return self._store.publish(self, stamp_ns, sequence, trust, quality, ttl_ns)

    def discard(self) -> None:
        """Return the slot without a message."""
        self._store.discard(self)

    def __enter__(self) -> Loan:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if not self.is_ended and self.epoch == self._store.epoch:
            self._store.discard(self)

    def end(self) -> None:
        """Called by the store. The array becomes read-only; slices that the writer took stay writable and
        hold the slot.
        """
        self.is_ended = True
        if isinstance(self._array, np.ndarray):  # a device array has no such flag
            self._array.setflags(write=False)
        self._array = None

    def raise_ended(self, name: str) -> NoReturn:
        raise LeaseExpired(
            f"{name}: slot {self.index}: this loan was published or discarded: request a new one"
        )


class Lease:
    """A received tensor. End it with release, best by `with`."""

    __slots__ = (
        "__weakref__",
        "_array",
        "_meta",
        "_store",
        "epoch",
        "form",
        "generation",
        "is_ended",
        "place",
        "received_ns",
    )

    def __init__(self, store: LeaseStore, place: Any, form: Any, generation: int, received_ns: int) -> None:
        """place, form: how the store finds the slot and describes its tensor; only the store reads them."""
        self._store = store
        self.place = place
        self.form = form
        self.generation = generation
        self.received_ns = received_ns
        self.epoch = store.epoch
        self.is_ended = False
        self._array: Any = None
        self._meta: FocusMeta | None = None

    @property
    def index(self) -> int:
        return self._store.index_of(self.place)

    @property
    def array(self) -> Any:
        """The tensor in place: a read-only numpy array, or a CuPy array on a device (do not write to it)."""
        if self._array is None or self.is_ended or self._store.is_ordered:
            self._array = self._store.view_lease(self)
        return self._array

    @property
    def tensor(self) -> Any:
        """The same memory as a torch tensor; do not write to it.

        In one process debug mode checks that at release. Between processes a write raises SIGSEGV in the
        writing process only.
        """
        return self._store.tensor_of_lease(self)

    @property
    def meta(self) -> FocusMeta:
        """The message's metadata. Read once during the lease, it stays available after release."""
        if self._meta is None:
            self._meta = self._store.meta(self)
        return self._meta

    def __dlpack__(self, *, stream: int | None = None, **options: Any) -> Any:
        """For any library's `from_dlpack`. On a device `stream`, the consumer's, waits for the writer's work.

        The consumer must use `stream` for all reads before the release. numpy needs DLPack 1.0 here, because
        a leased host array is read-only.
        """
        return self._store.dlpack(self, stream, options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._store.dlpack_device(self)

    def claim(self) -> Any:
        """A writable array: in place if nothing else uses this memory, otherwise a private copy (counted).

        In place it is valid until release. Arrays taken from this lease before count as another user.
        """
        return self._store.claim(self)

    def release(self) -> None:
        """Return the slot. It is reused once the last view taken from it is gone.

        Raises LeaseExpired the second time. In debug mode raises MailboxError if the tensor was written to.
        """
        self._store.release(self)

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if not self.is_ended and self.epoch == self._store.epoch:
            self._store.release(self)

    def end(self) -> None:
        """Called by the store. Drops the handle's own view, so that only views of others hold the slot."""
        self.is_ended = True
        self._array = None

    def drop_array(self) -> None:
        """Called by the store before a claim."""
        self._array = None

    def raise_ended(self) -> NoReturn:
        raise LeaseExpired(
            f"slot {self.index}: this lease was released: receive again, or copy before releasing"
        )
