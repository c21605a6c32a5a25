"""The two handles of a focus message: a Loan to write and publish, a Lease to read and release.

Invariant: a handle raises LeaseExpired after its end; whoever took an array from it before keeps valid
memory, which holds the slot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sage.mailbox.errors import LeaseExpired
from sage.mailbox.local.slot import FocusMeta, Slot

if TYPE_CHECKING:
    from sage.mailbox.local.exchange import Exchange


class Loan:
    """A slot to write into. End it with publish or discard; leaving `with` without publishing discards."""

    __slots__ = ("__weakref__", "_array", "_exchange", "generation", "is_ended", "producer", "slot")

    def __init__(self, exchange: Exchange, slot: Slot) -> None:
        self._exchange: Final = exchange
        self.slot: Final = slot
        self.generation: Final = slot.generation
        self.producer: Final = slot.producer
        self.is_ended = False
        self._array: Any = None

    @property
    def word(self) -> int:
        """Slot and generation as a record's header has them: one 64-bit word."""
        return self.slot.word

    @property
    def array(self) -> Any:
        """The tensor's memory, writable until publish: numpy's, or CuPy's on a device. It holds what the slot
        held before.
        """
        if self._array is None or self.is_ended or self._exchange.is_ordered:
            self._array = self._exchange.view_loan(self)
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

    def __enter__(self) -> Loan:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if not self.is_ended:
            self._exchange.discard(self)

    def end(self) -> None:
        """The array handed out becomes read-only; slices of it that the writer kept do not, and hold the
        slot.
        """
        self.is_ended = True
        if isinstance(self._array, np.ndarray):  # a device array has no such flag
            self._array.flags.writeable = False
        self._array = None


class Lease:
    """A borrowed tensor. End it with release, best by `with`."""

    __slots__ = ("__weakref__", "_array", "_exchange", "_meta", "generation", "is_ended", "slot")

    def __init__(self, exchange: Exchange, slot: Slot) -> None:
        self._exchange: Final = exchange
        self.slot: Final = slot
        self.generation: Final = slot.generation
        self.is_ended = False
        self._array: Any = None
        self._meta: FocusMeta | None = None

    @property
    def array(self) -> Any:
        """The tensor in place: numpy's and read-only, or CuPy's on a device, to be read only."""
        if self._array is None or self.is_ended or self._exchange.is_ordered:
            self._array = self._exchange.view_lease(self)
        return self._array

    @property
    def tensor(self) -> Any:
        """The same memory as a torch tensor, to be read only (checked at release in debug mode)."""
        return self._exchange.tensor_of_lease(self)

    @property
    def meta(self) -> FocusMeta:
        """What travelled with it. Asked for during the lease it may be kept and asked for afterwards."""
        if self._meta is None:
            self.raise_if_ended()
            self._meta = self.slot.meta()
        return self._meta

    @property
    def stamp_ns(self) -> int:
        """As in `meta`, and cheaper; during the lease only."""
        return self.slot.stamp_ns

    @property
    def quality(self) -> float:
        """As in `meta`, and cheaper; during the lease only."""
        return self.slot.quality

    def __dlpack__(self, *, stream: int | None = None, **options: Any) -> Any:
        """For `from_dlpack` of any library. On a device `stream`, the taker's, comes after the writer's work.

        The taker goes on using `stream` for what it reads before the release. numpy's capsules need DLPack
        1.0 here, because a leased host array is read-only.
        """
        return self._exchange.dlpack(self, stream, options)

    def __dlpack_device__(self) -> tuple[int, int]:
        device: tuple[int, int] = self._exchange.dlpack_device(self)
        return device

    def claim(self) -> Any:
        """A writable array: in place if nobody else looks at this memory, else a private copy (counted).

        In place it is valid until release. Arrays taken from this lease before count as somebody else.
        """
        return self._exchange.claim(self)

    def release(self) -> None:
        """Give it back. The slot is used again once the last view taken from it has gone.

        Raises LeaseExpired the second time. In debug mode raises MailboxError if the tensor was written to.
        """
        self._exchange.release(self)

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if not self.is_ended:
            self._exchange.release(self)

    def drop_array(self) -> None:
        """Forget the handle's own view, so that only other people's hold the slot."""
        self._array = None

    def raise_if_ended(self) -> None:
        if self.is_ended:
            raise LeaseExpired(
                f"slot {self.slot.index}: this lease was released; receive again, or copy before releasing"
            )
