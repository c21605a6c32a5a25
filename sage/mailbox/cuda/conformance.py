"""Conformance checks for record rings on a device, for all kernels (CUDA C, Numba, others).

Each of `RING_CHECKS` takes a function that makes a ring, and raises AssertionError. Invariant: the checks use
only `RecordRing`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from sage.mailbox.contract import Batch
from sage.mailbox.cuda.ring import DeviceRing
from sage.mailbox.record import HEADER_BYTES, record_dtype


class RecordRing(Protocol):
    """A ring as the checks use it: pushes from the host, one batch at a time."""

    def push_many(self, records: np.ndarray) -> int:
        """Append (n,) records; returns how many were appended."""
        ...

    def subscribe(self, *, start: str | int, max_records: int) -> Callable[[], Batch]:
        """A function that pops a batch from a new cursor."""
        ...


class MakeRing(Protocol):
    """A new ring for each check."""

    def __call__(self, *, capacity: int, record_bytes: int = 256, mode: str = "lossy") -> RecordRing: ...


def make_records(first: int, num: int, *, record_bytes: int = 256) -> np.ndarray:
    """Records whose payload bytes all follow from their number, so that a torn record is detected."""
    records = np.zeros(num, dtype=record_dtype(record_bytes))
    numbers = np.arange(first, first + num)
    room = record_bytes - HEADER_BYTES
    records["sequence"], records["kind"], records["length"], records["trust"] = numbers, 2, room, 0.5
    records["payload"] = (numbers[:, None] * 7 + np.arange(room)) % 251
    return records


def check_order_and_every_byte(make: MakeRing) -> None:
    for record_bytes in (128, 256):
        ring = make(capacity=32, record_bytes=record_bytes)
        pop = ring.subscribe(start="oldest", max_records=32)
        sent = make_records(0, 20, record_bytes=record_bytes)
        assert ring.push_many(sent) == 20
        batch = pop()
        assert (batch.first_ticket, batch.lost, len(batch)) == (0, 0, 20)
        _same(batch.records, sent)
        assert (batch.records["generation"] == 1).all()


def check_ten_laps(make: MakeRing) -> None:
    ring = make(capacity=8)
    pop = ring.subscribe(start="oldest", max_records=8)
    for start in range(0, 80, 5):
        ring.push_many(make_records(start, 5))
        batch = pop()
        assert (batch.lost, batch.first_ticket) == (0, start)
        _same(batch.records, make_records(start, 5))
        assert list(batch.records["generation"]) == [ticket // 8 + 1 for ticket in range(start, start + 5)]


def check_losses_are_exact(make: MakeRing) -> None:
    ring = make(capacity=8)
    slow, latest = (
        ring.subscribe(start="oldest", max_records=8),
        ring.subscribe(start="latest", max_records=8),
    )
    ring.push_many(make_records(0, 8))
    assert (latest().lost, len(slow())) == (0, 8)
    ring.push_many(make_records(8, 8))
    ring.push_many(make_records(16, 5))
    batch = slow()
    assert (batch.lost, batch.first_ticket, len(batch)) == (5, 13, 8)
    _same(batch.records, make_records(13, 8))


def check_more_than_a_lap_at_once_keeps_the_last(make: MakeRing) -> None:
    ring = make(capacity=8)
    pop = ring.subscribe(start="oldest", max_records=8)
    assert ring.push_many(make_records(0, 21)) == 21
    batch = pop()
    assert (batch.lost, batch.first_ticket) == (13, 13)
    _same(batch.records, make_records(13, 8))


def check_bulk_partial_and_empty(make: MakeRing) -> None:
    ring = make(capacity=16)
    pop = ring.subscribe(start="oldest", max_records=4)
    assert len(pop()) == 0
    assert ring.push_many(make_records(0, 0)) == 0
    ring.push_many(make_records(0, 6))
    assert [len(pop()), len(pop()), len(pop())] == [4, 2, 0]


def check_each_subscriber_sees_all(make: MakeRing) -> None:
    ring = make(capacity=16)
    pops = [ring.subscribe(start="oldest", max_records=16) for _ in range(3)]
    ring.push_many(make_records(0, 10))
    for pop in pops:
        _same(pop().records, make_records(0, 10))


def check_late_joiners_have_the_last_lap_as_history(make: MakeRing) -> None:
    ring = make(capacity=8)
    ring.push_many(make_records(0, 11))
    assert pop_first(ring, "oldest") == 3
    assert pop_first(ring, 6) == 6
    assert len(ring.subscribe(start="latest", max_records=8)()) == 0


def check_lossless_takes_what_has_room(make: MakeRing) -> None:
    ring = make(capacity=8, mode="lossless")
    assert ring.push_many(make_records(0, 3)) == 3  # no subscriber yet
    pop = ring.subscribe(start="latest", max_records=4)
    assert ring.push_many(make_records(3, 20)) == 8
    assert ring.push_many(make_records(0, 1)) == 0
    first = pop()
    _same(first.records, make_records(3, 4))
    assert ring.push_many(make_records(11, 6)) == 4
    rest = np.concatenate([pop().records, pop().records])
    _same(rest, make_records(7, 8))


def check_no_stale_bytes(make: MakeRing) -> None:
    ring = make(capacity=4)
    pop = ring.subscribe(start="oldest", max_records=4)
    ring.push_many(make_records(0, 4))
    pop()
    for length in (0, 1, 7, 100, 191, 192, 4_000_000_000):
        short = make_records(5, 1)
        short["length"] = length
        ring.push_many(short)
        (found,) = pop().records
        kept = min(length, 192)
        assert found["length"] == kept
        assert bytes(found["payload"]) == bytes(short["payload"][0][:kept]) + bytes(192 - kept)


RING_CHECKS: tuple[Callable[[MakeRing], None], ...] = (
    check_order_and_every_byte,
    check_ten_laps,
    check_losses_are_exact,
    check_more_than_a_lap_at_once_keeps_the_last,
    check_bulk_partial_and_empty,
    check_each_subscriber_sees_all,
    check_late_joiners_have_the_last_lap_as_history,
    check_lossless_takes_what_has_room,
    check_no_stale_bytes,
)


def pop_first(ring: RecordRing, start: str | int) -> int:
    return ring.subscribe(start=start, max_records=8)().first_ticket


def _same(got: np.ndarray, sent: np.ndarray) -> None:
    assert len(got) == len(sent), f"{len(got)} records instead of {len(sent)}"
    for name in sent.dtype.names or ():
        if name != "generation":  # stamped by the ring
            assert np.array_equal(got[name], sent[name]), f"{name} differs"


class HostPushes:
    """A DeviceRing as `RecordRing`: records are copied to the device, then pushed from there."""

    def __init__(self, ring: DeviceRing) -> None:
        self.ring = ring
        self._producer = ring.producer()

    def push_many(self, records: np.ndarray) -> int:
        if not len(records):
            return 0
        driver = self.ring.driver
        staged = driver.allocate(records.nbytes)
        driver.copy(staged.address, records.ctypes.data, records.nbytes, 0)
        self._producer.push_many(staged.address, len(records))
        return self._producer.num_taken()

    def subscribe(self, *, start: str | int, max_records: int) -> Callable[[], Batch]:
        assert isinstance(start, int) or start in ("latest", "oldest")
        return self.ring.subscribe(start=start, max_records=max_records).take  # type: ignore[arg-type]
