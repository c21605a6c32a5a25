"""A subscriber joins at the end of the order, wherever that has moved while it was joining."""

import os

import pytest

from sage.mailbox import RealClock
from sage.mailbox.shared import SharedPeripheral
from sage.mailbox.shared.memory import words
from sage.mailbox.shared.ring import pop, push
from sage.mailbox.shared.ring.array_memory import address_of
from sage.mailbox.shared.ring.layout import LIVE, STATE


@pytest.fixture
def ring():
    name = f"test.{os.getpid()}.join"
    ring = SharedPeripheral.create(name, clock=RealClock(), capacity=2, mode="lossless", engine="plain")
    yield ring
    ring.unlink()
    ring.close()


@pytest.mark.parametrize(("start", "first"), [("latest", 9), ("oldest", 7)])
def test_records_pushed_while_a_subscriber_joins_a_lossless_ring_do_not_count_as_lost(
    ring, start, first, records, monkeypatch
):
    ring.push(records(0, 1))
    control, sent = ring._control_address, records(1, 8)

    def store(address, value):
        if value == LIVE and address % 4096 == STATE:  # just before writers can see the cursor
            for number in range(len(sent)):
                assert push.push(control, address_of(sent) + 256 * number, 1, 0) == 2
        words.store_release(address, value)

    monkeypatch.setattr(pop, "store_release", store)
    reader = ring.subscribe(start=start)
    monkeypatch.undo()
    assert ring.push(records(9, 1)) == (start == "latest")
    batch = reader.pop_many(9)
    assert (batch.lost, batch.records["sequence"][0]) == (0, first)
