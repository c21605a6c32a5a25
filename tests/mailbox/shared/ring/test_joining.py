"""A process that joins a shared ring late."""

import os
import signal

import pytest

from sage.mailbox import RealClock
from sage.mailbox.shared import SharedPeripheral
from sage.mailbox.shared.memory.engine_choice import why_plain
from sage.mailbox.shared.ring.cursor_table import CursorTable


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


@pytest.mark.parametrize("dies_in", ["reap", "close", "interrupt"])
def test_a_cursor_whose_end_was_cut_between_two_stores_blocks_no_writer(
    records, in_fork, monkeypatch, dies_in
):
    """Its last member is removed, and the process is killed or interrupted before the cursor is ended."""
    name = f"test.{os.getpid()}.cut"
    ring = SharedPeripheral.create(name, clock=RealClock(), capacity=4, mode="lossless", engine="plain")
    end_if_left = CursorTable._end_if_left

    def kill(self, block):
        os.kill(os.getpid(), signal.SIGKILL)

    def interrupt(self, block):
        raise KeyboardInterrupt

    def subscribe_and_die():
        ring.subscribe()
        os.kill(os.getpid(), signal.SIGKILL)

    def reap_and_die():
        CursorTable._end_if_left = kill
        SharedPeripheral.attach(name, clock=RealClock())  # takes back the resources of the dead

    def close_and_die():
        reader = SharedPeripheral.attach(name, clock=RealClock()).subscribe()
        CursorTable._end_if_left = kill
        reader.close()

    try:
        if dies_in == "interrupt":
            reader = ring.subscribe()
            monkeypatch.setattr(CursorTable, "_end_if_left", interrupt)
            with pytest.raises(KeyboardInterrupt):
                reader.close()
            monkeypatch.setattr(CursorTable, "_end_if_left", end_if_left)
        elif dies_in == "reap":
            assert in_fork(subscribe_and_die) == -signal.SIGKILL
            assert in_fork(reap_and_die) == -signal.SIGKILL
        else:
            assert in_fork(close_and_die) == -signal.SIGKILL
        assert ring.push_many(records(0, 12), timeout_secs=5.0) == 12
        assert ring.statistics().subscriptions == ()
    finally:
        ring.close()
        ring.unlink()
