"""Many mailboxes: a busy one costs the same as alone, and a waiter on another one sleeps."""

import sys
import time
from pathlib import Path

import pytest

from sage.mailbox import MailboxEmpty

NUM_IDLE = 8
WAIT_SECS = 0.3
#: A look every 50 ms, and some for coming and going.
MOST_LOOKS = 20


def _num_calls(work):
    """Functions entered, Python's and C's: what a message costs, whatever the machine does besides."""
    num = 0

    def count(frame, event, argument):
        nonlocal num
        num += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return num


def test_a_busy_ring_costs_the_same_beside_eight_idle_ones(make_ring, records):
    ring = make_ring(capacity=64)
    reader = ring.subscribe()
    batch = records(0, 1)

    def work():
        for _ in range(10):
            ring.push(batch)
            assert len(reader.pop_many(4)) == 1

    work()
    alone = _num_calls(work)
    idle = [make_ring().subscribe() for _ in range(NUM_IDLE)]
    assert _num_calls(work) <= 1.1 * alone  # a collection may run in between
    assert not any(len(each.pop_many(1)) for each in idle)


def test_a_busy_pool_costs_the_same_beside_eight_idle_ones(make_focus, publish):
    box = make_focus()

    def work():
        for value in range(10):
            publish(box, value)
            box.try_receive().release()

    work()
    alone = _num_calls(work)
    idle = [make_focus() for _ in range(NUM_IDLE)]
    assert _num_calls(work) <= 1.1 * alone  # a collection may run in between
    assert all(each.try_receive() is None for each in idle)


def _num_sleeps():
    status = Path("/proc/thread-self/status").read_text()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def _check_idle(wait):
    before, cpu_secs = _num_sleeps(), time.thread_time()
    wait()
    assert 0 < _num_sleeps() - before <= MOST_LOOKS
    assert (
        time.thread_time() - cpu_secs < WAIT_SECS / 10
    )  # no spinning; the share of a core is the benchmark's to tell


@pytest.mark.skipif(not Path("/proc/thread-self").exists(), reason="counts sleeps as Linux tells them")
def test_a_waiting_receive_sleeps(make_focus):
    box = make_focus()

    def wait():
        with pytest.raises(MailboxEmpty):
            box.receive(timeout_secs=WAIT_SECS)

    _check_idle(wait)


@pytest.mark.skipif(not Path("/proc/thread-self").exists(), reason="counts sleeps as Linux tells them")
def test_a_waiting_pop_sleeps(make_ring):
    reader = make_ring().subscribe()
    _check_idle(lambda: reader.pop_many(1, timeout_secs=WAIT_SECS))
