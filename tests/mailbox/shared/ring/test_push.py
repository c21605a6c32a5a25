"""A lossless ring checks for room with every cursor there is, also one that joined since the last check."""

import os

import pytest

from sage.mailbox import RealClock
from sage.mailbox.shared import SharedPeripheral
from sage.mailbox.shared.memory.engine_choice import why_plain

ENGINES = ["plain", *(() if why_plain() else ("numba",))]


@pytest.fixture(params=ENGINES)
def ring(request):
    name = f"test.{os.getpid()}.floor"
    ring = SharedPeripheral.create(name, clock=RealClock(), capacity=4, mode="lossless", engine=request.param)
    yield ring
    ring.unlink()
    ring.close()


def test_the_first_subscriber_is_not_overtaken_by_a_writer_that_knew_of_none(ring, records):
    assert ring.push_many(records(0, 6)) == 6
    reader = ring.subscribe()
    assert ring.push_many(records(6, 6)) == 4
    batch = reader.pop_many(9)
    assert (list(batch.records["sequence"]), batch.lost) == ([6, 7, 8, 9], 0)


def test_a_subscriber_that_joins_behind_the_others_is_not_overtaken(ring, records):
    first = ring.subscribe()
    assert ring.push_many(records(0, 4)) == 4
    assert len(first.pop_many(9)) == 4
    assert ring.push(records(4, 1))  # the writer has now seen that the slowest cursor is at 4
    second = ring.subscribe(start="oldest")
    assert not ring.push(records(5, 1))
    batch = second.pop_many(9)
    assert (list(batch.records["sequence"]), batch.lost) == ([1, 2, 3, 4], 0)
    assert ring.push(records(5, 1))
