"""A process that joins a shared ring late."""

import os

import pytest

from sage.mailbox import RealClock
from sage.mailbox.shared import SharedPeripheral
from sage.mailbox.shared.memory.engine_choice import why_plain


@pytest.fixture(params=["plain"] if why_plain() else ["numba", "plain"])
def ring(request):
    name = f"test.{os.getpid()}.late"
    ring = SharedPeripheral.create(name, clock=RealClock(), capacity=16, engine=request.param)
    yield ring
    ring.close()
    ring.unlink()


@pytest.mark.parametrize(
    ("start", "first", "lost"), [("oldest", 24, 0), (30, 30, 0), (3, 24, 21), ("latest", None, 0)]
)
def test_a_late_subscriber_gets_the_remaining_history_and_the_number_lost(
    ring, records, in_fork, start, first, lost
):
    ring.push_many(records(0, 40))

    def join():
        other = SharedPeripheral.attach(ring.name, clock=RealClock())
        with other.subscribe(start=start) as reader:
            batch = reader.pop_many(99)
        assert batch.lost == lost
        assert batch.records["sequence"].tolist() == ([] if first is None else list(range(first, 40)))
        other.close()

    assert in_fork(join) == 0
    assert ring.statistics().subscriptions == ()
