"""The producer's side of one handle of a shared ring: `push` and `push_many`.

Invariant: the common case is one compiled call on the object that the caller gave; everything else (another
kind of array, a full ring, an error) is Python that starts over with what was not appended.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

import numpy as np

from sage.errors import InputError
from sage.mailbox.clock import Clock, now_function
from sage.mailbox.errors import MailboxClosed
from sage.mailbox.record import HEADER_BYTES
from sage.mailbox.shared.memory.segment import IS_CLOSED, Segment
from sage.mailbox.shared.ring.array_memory import BYTES_DATA, address_of
from sage.mailbox.shared.ring.engine import Engine, Step
from sage.mailbox.shared.ring.layout import LENGTH_OFFSET, MONOTONIC, NOT_PLAIN, OPTION_NAMES, REFUSED
from sage.mailbox.shared.ring.membership import Membership
from sage.mailbox.shared.ring.push import BAD_LENGTH, CLOSED

_U32 = struct.Struct("<I")


class RingProducer:
    """What a handle of a shared ring needs to append records."""

    def __init__(self, segment: Segment, membership: Membership, engine: Engine, clock: Clock) -> None:
        self.name = segment.name
        self.record_bytes = segment.options(OPTION_NAMES)["record_bytes"]
        self._segment = segment
        self._membership = membership
        self._control_address = membership.control_address
        self._engine = engine
        self._now_ns = now_function(clock)
        self._real_ns = MONOTONIC if self._now_ns is time.monotonic_ns else 0
        self._is_closed = False
        self._push_step: Step = self._first_push
        #: The compiled steps that read the object themselves, between the first push and the close.
        self._push_one: Step | None = None
        self._push_array: Step | None = None

    def push(self, record: np.ndarray | np.void | bytes, *, timeout_secs: float = 0.0) -> bool:
        """Append one record; False if a lossless ring stayed full for `timeout_secs`.

        record: shape () or (1,) of the ring's dtype, or its bytes; payload past its `length` is zeroed.
        Raises MailboxClosed after close.
        """
        data = record if type(record) is bytes else record.tobytes()  # type: ignore[union-attr]
        step = self._push_one
        if step is None or step(self._control_address, id(data), self._real_ns or self._now_ns()) != 2:
            return self._push_bytes(data, timeout_secs)
        return True

    def _push_bytes(self, data: bytes, timeout_secs: float) -> bool:
        """`push` after the short way, which appended nothing."""
        if len(data) != self.record_bytes:
            raise InputError(
                f"a record of {len(data)} bytes pushed to a ring of {self.record_bytes}: "
                f"make it with record_dtype({self.record_bytes}), or use push_many for several"
            )
        code = self._push_step(self._control_address, id(data) + BYTES_DATA, 1, self._now_ns())
        if code == 2:
            return True
        if code == 3:
            self._membership.arrivals.ring()
            return True
        if code < 0:
            self._raise_push(code, lambda index: _U32.unpack_from(data, LENGTH_OFFSET)[0])
        num_pushed = self._push_later(
            id(data) + BYTES_DATA,
            1,
            timeout_secs,
            length_of=lambda index: _U32.unpack_from(data, LENGTH_OFFSET)[0],
        )
        self._refuse(1 - num_pushed)
        return num_pushed == 1

    def push_many(self, records: np.ndarray, *, timeout_secs: float = 0.0) -> int:
        """Append `records` (n,) in order; returns how many were appended.

        That is n, unless a lossless ring stayed full for `timeout_secs`: then the first ones, and the rest
        counts as refused. Up to min(64, capacity) records at a time are consecutive; records pushed by others
        may come between those groups. Raises MailboxClosed after close; a close during the wait returns what
        was appended before it, if anything.
        """
        code = NOT_PLAIN
        if self._push_array is not None and type(records) is np.ndarray:
            code = self._push_array(self._control_address, id(records), self._real_ns or self._now_ns())
            if code >> 1 == len(records):
                return code >> 1
        if code < 0:
            records, code = self._push_any(records)
        return self._push_rest(records, code >> 1, timeout_secs)

    def _push_any(self, records: np.ndarray) -> tuple[np.ndarray, int]:
        """(contiguous records, twice the number appended); raises what the arguments deserve."""
        if records.ndim != 1 or records.dtype.itemsize != self.record_bytes:
            raise InputError(
                f"records of shape {records.shape} and {records.dtype.itemsize} bytes: "
                f"give an array (n,) of record_dtype({self.record_bytes})"
            )
        if not records.flags.c_contiguous or address_of(records) % 8:
            records = records.copy()
        code = self._push_step(self._control_address, address_of(records), len(records), self._now_ns())
        if code < 0:
            self._raise_push(code, lambda index: records["length"][index])
        if code & 1:
            self._membership.arrivals.ring()
        return records, code

    def _push_rest(self, records: np.ndarray, num_taken: int, timeout_secs: float) -> int:
        """Append what found no room, as far as room comes; returns how many were appended in all."""
        if num_taken != len(records):
            num_taken += self._push_later(
                address_of(records) + num_taken * self.record_bytes,
                len(records) - num_taken,
                timeout_secs,
                length_of=lambda index: records["length"][num_taken + index],
                can_end=num_taken > 0,
            )
            self._refuse(len(records) - num_taken)
        return num_taken

    def is_over(self) -> bool:
        return self._is_closed or bool(self._segment.words[IS_CLOSED])

    def _end_pushes(self) -> None:
        """This handle is closed."""
        self._is_closed = True
        self._push_step = _refuse_closed
        self._push_one = self._push_array = None

    def _forget_lane(self) -> None:
        """In a forked child: the lane belongs to the parent, and the first push claims another."""
        self._push_one = self._push_array = None
        if not self._is_closed:
            self._push_step = self._first_push
        self._membership.forget()

    def _first_push(self, *arguments: int) -> int:
        self._membership.claim_lane(self._engine)
        self._push_step = self._engine.push
        self._push_one, self._push_array = self._engine.push_one, self._engine.push_array
        return self._push_step(*arguments)

    def _push_later(
        self,
        address: int,
        num_records: int,
        timeout_secs: float,
        *,
        length_of: Callable[[int], int],
        can_end: bool = False,
    ) -> int:
        """A lossless ring was full: append as room becomes free (other writers may use it first).

        can_end: after a close return the number appended instead of raising MailboxClosed.
        """
        end_secs = time.monotonic() + timeout_secs
        num_pushed = 0
        while num_pushed < num_records and self._membership.wait_for_room(
            self._engine, self.is_over, end_secs - time.monotonic()
        ):
            source = address + num_pushed * self.record_bytes
            code = self._push_step(self._control_address, source, num_records - num_pushed, self._now_ns())
            if code == CLOSED and (can_end or num_pushed):
                break
            if code < 0:
                self._raise_push(code, length_of, num_pushed)
            if code & 1:
                self._membership.arrivals.ring()
            num_pushed += code >> 1
        return num_pushed

    def _refuse(self, num_records: int) -> None:
        if num_records:
            self._engine.add(self._segment.address + REFUSED, num_records)

    def _raise_push(self, code: int, length_of: Callable[[int], int], first: int = 0) -> None:
        if code == CLOSED:
            raise MailboxClosed(f"{self.name}: the mailbox was closed")
        length, room = length_of(first + BAD_LENGTH - code), self.record_bytes - HEADER_BYTES
        raise InputError(f"length is {length}: a record of {self.record_bytes} bytes has room for {room}")


def _refuse_closed(*arguments: int) -> int:
    return CLOSED
