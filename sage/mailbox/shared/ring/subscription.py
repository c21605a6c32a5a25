"""The receiving end of a shared ring.

Invariant: a subscription belongs to the process that made it; in a forked child it raises. It is used from
one thread; each member of a group has its own.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sage.errors import InputError
from sage.mailbox.contract import Batch
from sage.mailbox.errors import MailboxClosed, MailboxError
from sage.mailbox.shared.memory.doorbell import POLL_SECS
from sage.mailbox.shared.memory.feeder import Feeder
from sage.mailbox.shared.ring.array_memory import address_of
from sage.mailbox.shared.ring.engine import Engine
from sage.mailbox.shared.ring.layout import (
    NOT_PLAIN,
    NUM_RESULT_WORDS,
    R_BLOCK,
    R_CONTROL,
    R_FIRST,
    R_FREE,
    R_LOST,
    R_NUM_FREE,
    R_STOP,
)
from sage.mailbox.shared.ring.membership import Membership

#: Longest spin and longest sleep in one compiled call; between two calls Python handles signals.
_SPIN_SLICE_SECS, _SPIN_SLICE_NS, _SLEEP_SLICE_NS = 0.01, 10_000_000, int(POLL_SECS * 1e9)
_LONGEST_SECS = 1e9  # also for float("inf")
#: Checks in one step of the plain engine while spinning; it keeps the GIL.
_NUM_CHECKS = 100
_GUESS = 64  # up to this many records are allocated without reading the lag
_CHUNK = 16  # records of one array, shared by small pops
_LOST, _FIRST, _FREE, _NUM_FREE = R_LOST // 8, R_FIRST // 8, R_FREE // 8, R_NUM_FREE // 8
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
    """What a subscription needs of its mailbox handle.

    real_ns: MONOTONIC if the clock is the real one, else 0.
    """

    name: str
    dtype: np.dtype
    address: int
    engine: Engine
    membership: Membership
    now_ns: Callable[[], int]
    real_ns: int
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
        self._result[R_CONTROL // 8], self._result[R_BLOCK // 8] = self._control, self._block_address
        self._result_address = ctypes.addressof(self._result)
        self._now_ns, self._real_ns = end.now_ns, end.real_ns
        self._record_bytes = end.dtype.itemsize
        self._feeder: Feeder | None = None
        self._pop_next, self._pop_array = self._engine.pop_next, self._engine.pop_array
        self._pop_when_ready = self._engine.pop_when_ready
        #: Where the next small pop writes: the free end (R_FREE) of an array that several pops share. Each
        #: place is used once, so that popped records belong to the caller; an array per pop takes 0.6 us.
        self._chunk = np.empty(0, dtype=end.dtype)
        self._num_used = 0
        self._waiting = threading.Lock()  # held in a compiled wait, which runs without the GIL
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
        code = NOT_PLAIN
        if out is None:
            if self._pop_next is not None:
                code = self._pop_next(self._result_address, max_records, self._real_ns or self._now_ns())
        elif self._pop_array is not None and type(out) is np.ndarray:
            now_ns = self._real_ns or self._now_ns()
            code = self._pop_array(self._result_address, id(out), max_records, now_ns)
        if code < 2:
            code = self._pop_later(max_records, out, code, timeout_secs, spin_secs)
        if out is None:
            start = self._num_used
            self._num_used = end = start + (code >> 1)
            records = self._chunk[start:end]
        else:
            records = out[: code >> 1]
        return _new_tuple(Batch, (records, self._result[_LOST], self._result[_FIRST]))

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
            self._restrict()
            if self._feeder is not None and not self._is_foreign:
                self._feeder.close()
            if not self._is_foreign:
                self._end_wait()
                self._ring.owner.leave(self)

    def end_at(self, sequence: int) -> None:
        """This handle of the mailbox is closed: later records are not delivered."""
        self._end = sequence
        self._restrict()

    def disown(self) -> None:
        """In a forked child: the cursor belongs to the parent."""
        self._is_foreign = True
        self._restrict()

    def __enter__(self) -> SharedSubscription:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _pop_later(
        self, max_records: int, out: np.ndarray | None, code: int, timeout_secs: float, spin_secs: float
    ) -> int:
        """The pop where the short way is not enough, and the wait; the code of the last try, without the
        odd bit.

        code: of the short way: 0, or NOT_PLAIN if it made no try.
        """
        if code < 0:
            max_records, address = self._place_for(max_records, out)
            code = self._pop(max_records, address)
        else:
            address = 0 if out is None else address_of(out)
        slice_secs = min(spin_secs, timeout_secs, _SPIN_SLICE_SECS)
        if code < 2 and slice_secs > 0.0 and self._pop_when_ready is not None:
            code = self._wait_and_pop(max_records, address, slice_secs, slice_secs)
            spin_secs, timeout_secs = spin_secs - slice_secs, timeout_secs - slice_secs
        if code < 2:
            code = self._wait(max_records, address, timeout_secs, spin_secs)
        if code & 1:
            self._membership.departures.ring()
            code -= 1
        return code

    def _place_for(self, max_records: int, out: np.ndarray | None) -> tuple[int, int]:
        """(number of records that may be delivered, address for them): in `out`, or 0 for the chunk."""
        if max_records < 1:
            raise InputError(f"max_records is {max_records}: give 1 or more")
        if out is not None:
            self._check(out, max_records)
        if self._is_restricted:
            max_records = self._allowed(max_records)
        if out is not None:
            return max_records, address_of(out)
        if max_records > self._result[_NUM_FREE]:
            num_records = max_records if max_records <= _GUESS else min(max_records, max(1, self._lag()))
            self._chunk = np.empty(max(num_records, _CHUNK), dtype=self._ring.dtype)
            self._result[_FREE], self._num_used = address_of(self._chunk), 0
            self._result[_NUM_FREE] = len(self._chunk)
        return min(max_records, self._result[_NUM_FREE]), 0

    def _wait(self, max_records: int, address: int, timeout_secs: float, spin_secs: float) -> int:
        """Wait and pop; the code of the last try. Raises MailboxClosed if no record can follow."""
        end_secs = time.monotonic() + min(timeout_secs, _LONGEST_SECS)
        spin_end_secs = time.monotonic() + min(spin_secs, timeout_secs, _LONGEST_SECS)
        remaining_secs = timeout_secs
        while True:
            if self._is_restricted or self._ring.owner.is_over():
                if self._is_restricted:
                    max_records = self._allowed(max_records)
                code = self._pop(max_records, address)  # a record may have come just before the close
                if code < 2:
                    raise MailboxClosed(f"{self._ring.name}: the mailbox was closed")
                return code
            if remaining_secs <= 0.0:
                if self._feeder is not None:
                    self._feeder.rearm()
                return 0
            remaining_secs = end_secs - time.monotonic()
            spin_left_secs = spin_end_secs - time.monotonic()
            code = self._wait_and_pop(max_records, address, remaining_secs, spin_left_secs)
            if code > 1:
                return code  # otherwise the slice has passed, or another member of the group read it

    def _wait_and_pop(self, max_records: int, address: int, remaining_secs: float, spin_secs: float) -> int:
        """One slice of the wait."""
        if self._pop_when_ready is None:
            if spin_secs <= 0.0 or not self._spin(time.monotonic() + spin_secs):
                self._membership.arrivals.wait_for(self._is_ready, remaining_secs)
            return self._pop(max_records, address)
        spin_ns = int(spin_secs * 1e9)
        is_last_spin = spin_ns <= _SPIN_SLICE_NS
        sleep_ns = int((remaining_secs - max(spin_secs, 0.0)) * 1e9) if is_last_spin else 0
        with self._waiting:
            return self._pop_when_ready(
                self._result_address,
                address,
                max_records,
                self._real_ns or self._now_ns(),
                min(spin_ns, _SPIN_SLICE_NS),
                min(sleep_ns, _SLEEP_SLICE_NS),
            )

    def _pop(self, max_records: int, address: int) -> int:
        """The step of the protocol.  address: as from `_place_for`."""
        result = self._result
        target = address or result[_FREE]
        code = self._engine.pop(
            self._control, self._block_address, target, max_records, self._now_ns(), self._result_address
        )
        if not address:
            result[_FREE] += (code >> 1) * self._record_bytes
            result[_NUM_FREE] -= code >> 1
        return code

    def _check(self, out: np.ndarray, max_records: int) -> None:
        dtype, flags = self._ring.dtype, out.flags
        is_usable = flags.c_contiguous and flags.writeable
        if out.dtype != dtype or out.ndim != 1 or len(out) < max_records or not is_usable:
            raise InputError(
                f"out has shape {out.shape} and {out.dtype.itemsize}-byte items: "
                f"give a contiguous, writable ({max_records},) of record_dtype({dtype.itemsize})"
            )

    def _end_wait(self) -> None:
        """If another thread waits in a pop: end that, so that it does not read with a cursor that is free."""
        if not self._waiting.acquire(blocking=False):
            self._membership.arrivals.ring()
            if not self._waiting.acquire(timeout=2 * POLL_SECS):
                return  # closed by a signal handler that interrupted the wait itself
        self._waiting.release()

    def _restrict(self) -> None:
        """Check before each pop from now on; a wait without the GIL ends."""
        self._is_restricted = True
        self._result[R_STOP // 8] = 1

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

    def _spin(self, end_secs: float) -> bool:
        """Until there is a record, or the subscription or the mailbox is closed; False at end_secs."""
        while time.monotonic() < end_secs:
            if self._engine.await_record(self._control, self._block_address, _NUM_CHECKS):
                return True
            if self._is_restricted or self._ring.owner.is_over():
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


#: Without the class's own constructor, which takes as long as the pop.
_new_tuple = tuple.__new__
