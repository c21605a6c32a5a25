"""A mailbox of one host on another: records, their stamps, and every lost one counted."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np
import pytest

pytest.importorskip("zenoh")

from sage.mailbox.clock import RealClock
from sage.mailbox.contract import Batch
from sage.mailbox.errors import MailboxError
from sage.mailbox.shared import SharedPeripheral, SharedSubscription
from sage.sensors.contract import SensorUnavailable
from sage.sensors.remote.link import RemoteHost
from sage.sensors.remote.mirror import MailboxMirror
from sage.sensors.remote.sender import HostSender

CAPACITY = 64
NUM_TRIES = 400


class Pair:
    """A ring, its sender, and its mirror under another name, on one machine."""

    def __init__(self, stack: ExitStack) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            endpoint = f"tcp/127.0.0.1:{probe.getsockname()[1]}"
        self.clock = RealClock()
        self.name = f"events-{uuid.uuid4().hex[:8]}"
        self.ring = SharedPeripheral.create(self.name, clock=self.clock, capacity=CAPACITY)
        stack.callback(self.ring.unlink)
        stack.callback(self.ring.close)
        self.sender = HostSender("robot", (), self.clock, listen=[endpoint], mailboxes=[self.name])
        stack.callback(self.sender.close)
        self.host = RemoteHost("robot", endpoint, self.clock)
        stack.callback(self.host.close)
        self.mirror = MailboxMirror(self.host, self.name, self.clock, local_name=f"{self.name}-here")
        stack.callback(self.mirror.close)

    def push(self, first: int, num: int = 1) -> None:
        records = np.zeros(num, self.ring.dtype)
        records["sequence"] = np.arange(first, first + num)
        records["stamp_ns"] = self.clock.now_ns()
        records["focus_slot"] = 3
        records["length"] = 4
        records["payload"][:, :4] = 9
        self.ring.push_many(records)

    def connected(self) -> SharedSubscription:
        """A reader of the mirror, once records arrive there."""
        reader = SharedPeripheral.attach(self.mirror.name, clock=self.clock).subscribe()
        for _ in range(NUM_TRIES):
            self.push(0)
            self.sender.forward()
            if len(reader.pop_many(CAPACITY, timeout_secs=0.05)):
                return reader
        raise AssertionError("no record arrived")


@pytest.fixture
def pair() -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(stack)


def received(reader: SharedSubscription, last: int) -> np.ndarray:
    """Records up to that sequence, without those of `connected`."""
    parts: list[np.ndarray] = []
    for _ in range(NUM_TRIES):
        parts.append(reader.pop_many(CAPACITY, timeout_secs=0.05).records)
        if len(parts[-1]) and parts[-1]["sequence"][-1] == last:
            break
    found = np.concatenate(parts)
    return found[found["sequence"] > 0]


def test_records_arrive_with_their_stamps_and_without_tensors(pair: Pair) -> None:
    reader = pair.connected()
    before_ns = pair.clock.now_ns()
    pair.push(100, 10)
    pair.sender.forward()
    records = received(reader, 109)
    assert records["sequence"].tolist() == list(range(100, 110))
    assert (records["payload"][:, :4] == 9).all()
    assert not records["focus_slot"].any()
    error_ns = pair.host.clock_error_ns + 1
    assert (records["stamp_ns"] >= before_ns - error_ns).all()
    assert (records["stamp_ns"] <= pair.clock.now_ns() + error_ns).all()
    assert pair.mirror.age_p95_ns() > -error_ns


def test_what_was_overwritten_before_it_was_sent_is_counted(pair: Pair) -> None:
    reader = pair.connected()
    pair.push(1)
    pair.sender.forward()
    received(reader, 1)
    num_lost = pair.mirror.num_lost
    pair.push(100, CAPACITY + 7)
    pair.sender.forward()
    records = received(reader, 100 + CAPACITY + 6)
    assert pair.mirror.num_lost - num_lost == CAPACITY + 7 - len(records) >= 7
    assert pair.mirror.num_faults == 0


def test_a_message_that_is_no_record_is_a_fault(pair: Pair) -> None:
    pair.connected()
    for header, payload in ((b"", b""), (b"\x92\x01\x02", b"short"), (b"\x92\x01\xff", bytes(256))):
        with pytest.raises(Exception, match=r"expected|not msgpack"):
            pair.mirror._push(header, payload)


def test_what_is_missing_is_one_line(pair: Pair) -> None:
    with pytest.raises(SensorUnavailable, match="sends no mailbox other"):
        MailboxMirror(pair.host, "other", pair.clock)
    with pytest.raises(MailboxError, match=pair.mirror.name):
        MailboxMirror(pair.host, pair.name, pair.clock, local_name=pair.mirror.name)
    with pytest.raises(MailboxError, match="nowhere"):
        HostSender("robot", (), pair.clock, listen=["tcp/127.0.0.1:0"], mailboxes=["nowhere"])


def test_a_ring_that_is_pushed_faster_than_it_is_sent_does_not_hold_the_sender(pair: Pair) -> None:
    sender = pair.sender.mailboxes[pair.name]
    num_pops = 0

    class Endless:
        """A batch at every call."""

        def try_pop_many(self, num: int) -> Batch:
            nonlocal num_pops
            num_pops += 1
            if num_pops > 10 * CAPACITY:
                raise AssertionError("it never returns")
            return Batch(np.zeros(num, pair.ring.dtype), 0, num_pops * num)

        close = sender._subscription.close

    sender._subscription = Endless()  # type: ignore[assignment]
    pair.sender.forward()
    assert num_pops <= CAPACITY
