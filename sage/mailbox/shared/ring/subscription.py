"""The receiving end of a shared ring.

Invariant: a subscription belongs to the process that made it; in a forked child it raises. It is used from
one thread; each member of a group has its own.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sage.errors import InputError
from sage.mailbox.contract import Batch
from sage.mailbox.errors import MailboxClosed, MailboxError
from sage.mailbox.shared.memory.feeder import Feeder
from sage.mailbox.shared.ring.engine import Engine
from sage.mailbox.shared.ring.layout import NUM_RESULT_WORDS, R_FIRST, R_LOST
from sage.mailbox.shared.ring.membership import Membership

#: Offset of the data address in a numpy array object; reading it through numpy takes longer than the pop.
_ARRAY_DATA = ctypes.sizeof(ctypes.c_void_p) * 2
#: Checks in one compiled call while spinning, about 10 us; it keeps the GIL.
_NUM_CHECKS = 100
_GUESS = 64  # up to this many records are allocated without reading the lag
_CHUNK = 16  # records of one array, shared by small pops
NO_END = 1 << 63


class Owner(Protocol):
    """The mailbox handle that a subscription belongs to."""

    def is_over(self) -> bool:
        """Closed here or by the ring's creator."""
        ...

    def leave(self, subscription: SharedSubscription) -> None:
        """Called when the subscription is closed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RingEnd:
    """What a subscription needs of its mailbox handle."""

    name: str
    dtype: np.dtype
    address: int
    engine: Engine
    membership: Membership
    now_ns: Callable[[], int]
    owner: Owner


class SharedSubscription:
    """A `Subscription` whose pop_many can spin: it checks without sleeping for spin_secs first."""

    def __init__(self, end: RingEnd, block: int) -> None:
        """block: offset of the cursor in the segment."""
        self._ring = end
        self._engine = end.engine
        self._membership = end.membership
        self._control = end.membership.control_address
        self.block = block
        self._block_address = end.address + block
        self._result = (ctypes.c_int64 * NUM_RESULT_WORDS)()
        self._result_address = ctypes.addressof(self._result)
        self._now_ns = end.now_ns
        self._record_bytes = end.dtype.itemsize
        self._feeder: Feeder | None = None
        self._step = self._engine.pop
        self._chunk = np.empty(0, dtype=end.dtype)
        self._chunk_address = 0
        self._num_used = 0
        self._is_closed = False
        self._is_foreign = False
        self._is_restricted = False  # any of: closed, foreign, an end set
        self._end = NO_END

    def pop_many(
        self,
        max_records: int,
        *,
        timeout_secs: float = 0.0,
        spin_secs: float = 0.0,
        out: np.ndarray | None = None,
    ) -> Batch:
        """Up to `max_records` records, as soon as there is one; an empty batch after `timeout_secs`.

        spin_secs: check without sleeping for this long first; saves a wake-up of about 50 us, uses a core.
        out: (n,) of the ring's dtype, contiguous, n >= max_records; then batch.records is a view of it.
        Raises MailboxClosed if this subscription is closed, or if the mailbox is closed and nothing is left.
        """
        batch = self._pop(max_records, out)
        if len(batch.records) or not self._has_to_wait(timeout_secs):
            return batch
        end_secs = time.monotonic() + timeout_secs
        spin_end_secs = min(time.monotonic() + spin_secs, end_secs)
        while True:
            remaining_secs = end_secs - time.monotonic()
            if not self._spin(spin_end_secs):
                self._membership.arrivals.wait_for(self._is_ready, remaining_secs)
            batch = self._pop(max_records, out)
            if len(batch.records) or not self._has_to_wait(remaining_secs):
                return batch  # otherwise another member of the group read it

    def try_pop_many(self, max_records: int, *, out: np.ndarray | None = None) -> Batch:
        """`pop_many` that never waits."""
        return self.pop_many(max_records, out=out)

    def fileno(self) -> int:
        """A descriptor for an event loop's `add_reader`: readable when a pop may return records or raise.

        A thread of this process writes it, from the first call until this subscription is closed.
        """
        self._raise_if_unusable()
        if self._feeder is None:
            self._feeder = Feeder(self._membership.arrivals, self._is_ready, self._ring.name)
        return self._feeder.descriptor

    def close(self) -> None:
        """Unsubscribe. Unread records no longer block a lossless writer. Safe to call twice."""
        if not self._is_closed:
            self._is_closed = True
            self._is_restricted = True
            if self._feeder is not None and not self._is_foreign:
                self._feeder.close()
            if not self._is_foreign:
                self._ring.owner.leave(self)

    def end_at(self, sequence: int) -> None:
        """This handle of the mailbox is closed: later records are not delivered."""
        self._end, self._is_restricted = sequence, True

    def disown(self) -> None:
        """In a forked child: the cursor belongs to the parent."""
        self._is_foreign = self._is_restricted = True

    def __enter__(self) -> SharedSubscription:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _pop(self, max_records: int, out: np.ndarray | None) -> Batch:
        if max_records < 1:
            raise InputError(f"max_records is {max_records}: give 1 or more")
        if self._is_restricted:
            max_records = self._allowed(max_records)
        if out is None:
            first = self._place_for(max_records)
            records, address = self._chunk, self._chunk_address + first * self._record_bytes
            max_records = min(max_records, len(records) - first)
        else:
            first, records = 0, self._checked(out, max_records)
            address = address_of(out)
        code = self._step(
            self._control, self._block_address, address, max_records, self._now_ns(), self._result_address
        )
        if code & 1:
            self._membership.departures.ring()
        num_records = code >> 1
        if num_records == 0 and self._feeder is not None:
            self._feeder.rearm()
        if out is None:
            self._num_used = first + num_records
        return _batch(
            records[first : first + num_records], self._result[R_LOST // 8], self._result[R_FIRST // 8]
        )

    def _place_for(self, max_records: int) -> int:
        """A place in the chunk for max_records, or for as many as there are now.

        Each place is used once, so that popped records belong to the caller. The chunk saves creating a
        structured array (1 us) per pop.
        """
        if max_records > len(self._chunk) - self._num_used:
            num_records = max_records if max_records <= _GUESS else min(max_records, max(1, self._lag()))
            self._chunk = np.empty(max(num_records, _CHUNK), dtype=self._ring.dtype)
            self._chunk_address, self._num_used = address_of(self._chunk), 0
        return self._num_used

    def _checked(self, out: np.ndarray, max_records: int) -> np.ndarray:
        dtype = self._ring.dtype
        if out.dtype != dtype or out.ndim != 1 or len(out) < max_records or not out.flags.c_contiguous:
            raise InputError(
                f"out has shape {out.shape} and {out.dtype.itemsize}-byte items: "
                f"give a contiguous ({max_records},) of record_dtype({dtype.itemsize})"
            )
        return out

    def _allowed(self, max_records: int) -> int:
        """max_records, or fewer if this handle is closed: later records are not delivered."""
        self._raise_if_unusable()
        num_left = self._end - self._expected()
        if num_left <= 0:
            raise MailboxClosed(f"{self._ring.name}: the mailbox was closed")
        return min(max_records, num_left)

    def _expected(self) -> int:
        return self._membership.expected(self.block)

    def _lag(self) -> int:
        return self._engine.lag(self._control, self._block_address)

    def _has_to_wait(self, timeout_secs: float) -> bool:
        """Nothing was there: whether to wait. Raises MailboxClosed if no record can follow."""
        if self._ring.owner.is_over():
            raise MailboxClosed(f"{self._ring.name}: the mailbox was closed")
        return timeout_secs > 0.0

    def _spin(self, end_secs: float) -> bool:
        while time.monotonic() < end_secs:
            if self._engine.await_record(self._control, self._block_address, _NUM_CHECKS):
                return True
        return False

    def _is_ready(self) -> bool:
        return self._lag() > 0 or self._is_closed or self._ring.owner.is_over()

    def _raise_if_unusable(self) -> None:
        if self._is_foreign:
            raise MailboxError(
                f"{self._ring.name}: this subscription was made before the fork: subscribe in this process"
            )
        if self._is_closed:
            raise MailboxClosed(f"{self._ring.name}: this subscription was closed")


def _batch(records: np.ndarray, lost: int, first_ticket: int) -> Batch:
    """Without the frozen class's __init__, which takes as long as the pop."""
    batch = _new_batch(Batch)
    _set_records(batch, records)
    _set_lost(batch, lost)
    _set_first_ticket(batch, first_ticket)
    return batch


_new_batch = object.__new__
_set_records, _set_lost, _set_first_ticket = (
    vars(Batch)[name].__set__ for name in ("records", "lost", "first_ticket")
)


def _quick_address_of(array: np.ndarray) -> int:
    return _word(id(array) + _ARRAY_DATA).value


def _true_address_of(array: np.ndarray) -> int:
    return int(array.ctypes.data)


_word = ctypes.c_int64.from_address
_probe = np.empty(3, dtype=np.uint8)
address_of = _quick_address_of if _quick_address_of(_probe) == _true_address_of(_probe) else _true_address_of
