"""The two handles of a message in a shared pool: a Loan to write and publish, a Lease to read and release.

Invariant: a handle raises LeaseExpired after its end, and in a process that was forked after it was made. The
surface is that of `sage.mailbox.handles`; what differs is that memory under a lease cannot be written at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from sage.mailbox.errors import LeaseExpired
from sage.mailbox.local.slot import FocusMeta
from sage.mailbox.shared.focus.forms import Form
from sage.mailbox.shared.focus.layout import index_of
from sage.mailbox.tensor_spec import TensorSpec

if TYPE_CHECKING:
    from sage.mailbox.shared.focus.exchange import SharedExchange


class Loan:
    """A slot to write into. End it with publish or discard; leaving `with` without publishing discards."""

    __slots__ = (
        "__weakref__",
        "_array",
        "_exchange",
        "_form",
        "generation",
        "is_ended",
        "num_forks",
        "place",
        "producer",
    )

    def __init__(
        self, exchange: SharedExchange, form: Form, place: int, generation: int, producer: int
    ) -> None:
        """place: of the slot in the table.  num_forks: of the process, when this was made."""
        self._exchange = exchange
        self._form = form
        self.place = place
        self.generation = generation
        self.producer = producer
        self.num_forks = exchange.num_forks
        self.is_ended = False
        self._array: np.ndarray | None = None

    @property
    def index(self) -> int:
        return index_of(self.place)

    @property
    def spec(self) -> TensorSpec:
        return self._form.spec

    @property
    def word(self) -> int:
        """Slot and generation as a record's header has them: one 64-bit word."""
        return self.index | self.generation << 32

    @property
    def array(self) -> np.ndarray:
        """The tensor's memory, writable until publish. Its content is what the slot held before."""
        if self._array is None or self.is_ended:
            self._array = self._exchange.view_loan(self, self._form)
        return self._array

    @property
    def tensor(self) -> Any:
        """The same memory as a torch tensor. torch cannot make it read-only: do not write after publish."""
        return self._exchange.tensor_of_loan(self)

    def publish(
        self,
        *,
        stamp_ns: int,
        sequence: int,
        trust: float = 1.0,
        quality: float = 1.0,
        ttl_ns: int | None = None,
    ) -> bool:
        """Hand the tensor over. False when the slot was taken back in the meantime (counted as stale).

        ttl_ns: not delivered later than this after now; None takes the mailbox's default.
        """
        return self._exchange.publish(self, stamp_ns, sequence, trust, quality, ttl_ns)

    def discard(self) -> None:
        """Give the slot back without a message."""
        self._exchange.discard(self)

    def raise_ended(self, name: str) -> NoReturn:
        raise LeaseExpired(
            f"{name}: slot {self.index}: this loan was published or discarded; ask for a new one"
        )

    def __enter__(self) -> Loan:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if not self.is_ended and self._exchange.is_own(self):
            self._exchange.discard(self)

    def end(self) -> None:
        """The array handed out becomes read-only; slices of it that the writer kept do not, and hold the
        slot.
        """
        self.is_ended = True
        if self._array is not None:
            self._array.setflags(write=False)
            self._array = None


class Lease:
    """A borrowed tensor. End it with release, best by `with`."""

    __slots__ = (
        "__weakref__",
        "_array",
        "_exchange",
        "_form",
        "_meta",
        "generation",
        "is_ended",
        "num_forks",
        "place",
        "received_ns",
    )

    def __init__(
        self, exchange: SharedExchange, form: Form, place: int, generation: int, received_ns: int
    ) -> None:
        self._exchange = exchange
        self._form = form
        self.place = place
        self.generation = generation
        self.received_ns = received_ns
        self.num_forks = exchange.num_forks
        self.is_ended = False
        self._array: np.ndarray | None = None
        self._meta: FocusMeta | None = None

    @property
    def index(self) -> int:
        return index_of(self.place)

    @property
    def spec(self) -> TensorSpec:
        return self._form.spec

    @property
    def array(self) -> np.ndarray:
        """The tensor, read-only, in place."""
        if self._array is None or self.is_ended:
            self._array = self._exchange.view_lease(self, self._form)
        return self._array

    @property
    def tensor(self) -> Any:
        """The same memory as a torch tensor. Writing to it ends this process (SIGSEGV), and harms nobody
        else.
        """
        return self._exchange.tensor_of_lease(self)

    @property
    def meta(self) -> FocusMeta:
        """What travelled with it. Asked for during the lease it may be kept and asked for afterwards."""
        if self._meta is None:
            self._meta = self._exchange.meta(self)
        return self._meta

    @property
    def stamp_ns(self) -> int:
        return self.meta.stamp_ns

    @property
    def quality(self) -> float:
        return self.meta.quality

    def claim(self) -> np.ndarray:
        """A writable array: in place if nobody else has this memory or looks at it, else a private copy
        (counted).

        In place it is valid until release. Arrays taken from this lease before count as somebody else.
        """
        return self._exchange.claim(self, self._form)

    def release(self) -> None:
        """Give it back. The slot is used again once the last view taken from it has gone.

        Raises LeaseExpired the second time. In debug mode raises MailboxError if the tensor was written to.
        """
        self._exchange.release(self)

    def raise_ended(self, name: str) -> NoReturn:
        raise LeaseExpired(
            f"slot {self.index}: this lease was released; receive again, or copy before releasing"
        )

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if not self.is_ended and self._exchange.is_own(self):
            self._exchange.release(self)

    def end(self) -> None:
        """Forget the handle's own view, so that only other people's hold the slot."""
        self.is_ended = True
        self._array = None

    def drop_array(self) -> None:
        self._array = None
