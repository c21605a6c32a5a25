"""Three faults of other queues; each check finds the fault in a queue that has it, and not in ours.

A reader killed while it waits starves the others (multiprocessing.Queue); a send that waits keeps the GIL, so
that its own process cannot receive (a double); a view that outlives its release is rewritten without an error
(a double).
"""

import ctypes
import itertools
import multiprocessing
import os
import queue
import signal
import sys
import threading

import numpy as np
import pytest

from sage.mailbox import RealClock
from sage.mailbox.shared import SharedPeripheral
from sage.mailbox.shared.memory.engine_choice import why_plain

ENGINES = ["plain"] if why_plain() else ["numba", "plain"]
_numbers = itertools.count()


@pytest.fixture(params=ENGINES)
def make_ring(request):
    rings = []

    def make(**options):
        name = f"test.{os.getpid()}.q{next(_numbers)}"
        rings.append(
            SharedPeripheral.create(
                name, **{"engine": request.param, "clock": RealClock(), "capacity": 8, **options}
            )
        )
        return rings[-1]

    yield make
    for ring in rings:
        ring.close()
        ring.unlink()


def _is_asleep(pid):
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[0] == b"S"


def _killed_while_it_waits(attach):
    """A forked process that gets `attach()`, a call that waits for ever, and is killed asleep in it."""
    reports, child_reports = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            wait = attach()
            os.write(child_reports, b".")
            wait()
        finally:
            os._exit(99)
    os.close(child_reports)
    assert os.read(reports, 1) == b"."
    os.close(reports)
    while not _is_asleep(pid):
        os.sched_yield()
    os.kill(pid, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


class Group:
    """A ring as a work queue: all readers share one cursor."""

    def __init__(self, ring, records):
        self._ring, self._records = ring, records
        self._mine = ring.subscribe(group="work")

    def attach(self):
        reader = SharedPeripheral.attach(self._ring.name, clock=RealClock()).subscribe(group="work")
        return lambda: reader.pop_many(1, timeout_secs=3_600.0)

    def put(self, number):
        assert self._ring.push(self._records(number, 1))

    def get(self):
        return self._mine.pop_many(1, timeout_secs=30.0).records["sequence"].item()


class Pool:
    """A focus pool: each message has one receiver."""

    def __init__(self, box, put):
        self._box, self.put = box, lambda number: put(box, number)

    def attach(self):
        return lambda: self._box.receive(timeout_secs=3_600.0)  # the child takes part by itself

    def get(self):
        with self._box.receive(timeout_secs=30.0) as lease:
            return lease.meta.sequence


class StarvingQueue:
    """The standard library's: a process that waits in `get` holds a lock, which stays locked if it dies."""

    def __init__(self):
        self._queue = multiprocessing.get_context("fork").Queue()

    def attach(self):
        return self._queue.get

    def put(self, number):
        self._queue.put(number)

    def get(self):
        return self._queue.get(timeout=0.2)


def check_a_reader_killed_in_its_wait_starves_nobody(mailbox):
    for _ in range(2):
        _killed_while_it_waits(mailbox.attach)
    for number in range(3):
        mailbox.put(number)
        assert mailbox.get() == number


def test_the_check_finds_the_starving_queue():
    with pytest.raises(queue.Empty):
        check_a_reader_killed_in_its_wait_starves_nobody(StarvingQueue())


def test_a_reader_killed_in_its_wait_starves_no_group(make_ring, records):
    check_a_reader_killed_in_its_wait_starves_nobody(Group(make_ring(mode="lossless"), records))


def test_a_receiver_killed_in_its_wait_starves_no_pool(make_box, put, loan_all):
    box = make_box()
    check_a_reader_killed_in_its_wait_starves_nobody(Pool(box, put))
    loan_all(box)


class GreedyDouble:
    """One place. A send without room waits in C and keeps the GIL, so that no thread here can make room."""

    def __init__(self):
        self._is_taken = threading.Event()
        self._sleep = ctypes.PyDLL(None).usleep

    def send(self):
        if self._is_taken.is_set():
            self._sleep(300_000)
        is_sent = not self._is_taken.is_set()
        self._is_taken.set()
        return is_sent

    def take(self):
        self._is_taken.clear()


def check_a_blocked_send_lets_its_own_process_receive(send, take):
    """send: waits while the place is in use.  take: frees it, on another thread that starts during the
    wait.
    """
    assert send()
    has_begun = threading.Event()

    def receive():
        has_begun.wait(30.0)
        take()

    receiver = threading.Thread(target=receive)
    receiver.start()
    has_begun.set()  # nothing lets the interpreter go between this line and the send, but its own switch
    try:
        assert send(), "the send prevented its own process from receiving"
    finally:
        receiver.join(30.0)


def test_the_check_finds_the_greedy_double():
    double = GreedyDouble()
    with WithoutSwitching(), pytest.raises(AssertionError, match="prevented its own process"):
        check_a_blocked_send_lets_its_own_process_receive(double.send, double.take)


class WithoutSwitching:
    """Threads switch only where the GIL is released."""

    def __enter__(self):
        self._before = sys.getswitchinterval()
        sys.setswitchinterval(1_000.0)

    def __exit__(self, *exc_info):
        sys.setswitchinterval(self._before)


def test_a_push_to_a_full_ring_lets_its_own_process_pop(make_ring, records):
    ring = make_ring(mode="lossless", capacity=1)
    reader = ring.subscribe()
    with WithoutSwitching():
        check_a_blocked_send_lets_its_own_process_receive(
            lambda: ring.push(records(0, 1), timeout_secs=30.0), lambda: reader.pop_many(1)
        )


def test_a_loan_from_a_full_pool_lets_its_own_process_receive(make_box):
    box = make_box(slots=1)

    def send():
        return box.loan((4,), timeout_secs=30.0).publish(stamp_ns=0, sequence=0)

    with WithoutSwitching():
        check_a_blocked_send_lets_its_own_process_receive(send, lambda: box.try_receive().release())


class RewritingDouble:
    """Two buffers in turn: a view outlives its release, and the message after next is written into it."""

    def __init__(self):
        self._buffers, self._num = [np.zeros(4, np.float32) for _ in range(2)], 0

    def put(self, number):
        self._buffers[self._num % 2][:] = number

    def keep(self):
        """What stays of the message that waits, after its release."""
        self._num += 1
        return memoryview(self._buffers[(self._num - 1) % 2]).toreadonly()


class ViewsOf:
    def __init__(self, box, put, keep):
        self._box, self._put, self._keep = box, put, keep

    def put(self, number):
        self._put(self._box, number)

    def keep(self):
        with self._box.receive(timeout_secs=30.0) as lease:
            return self._keep(lease)


def check_a_view_stays_as_it_was(mailbox):
    mailbox.put(1)
    view = mailbox.keep()
    for number in range(2, 9):
        mailbox.put(number)
        assert np.asarray(mailbox.keep()).tolist() == [number] * 4
    assert np.asarray(view).tolist() == [1.0] * 4, "rewritten without an error"
    return view


def test_the_check_finds_the_rewriting_double():
    with pytest.raises(AssertionError, match="rewritten without an error"):
        check_a_view_stays_as_it_was(RewritingDouble())


@pytest.mark.parametrize(
    "keep",
    [
        lambda lease: lease.array,
        lambda lease: memoryview(lease.array)[:],
        lambda lease: lease.tensor.view(2, 2).view(4),
    ],
    ids=["numpy", "memoryview", "torch"],
)
def test_a_view_that_outlives_its_lease_holds_its_slot_and_is_counted(make_box, make_peer, keep):
    box = make_box(slots=3)
    peer = make_peer(box)

    def put(box, number):  # another process writes
        peer.tell(
            f"loan = box.loan((4,), timeout_secs=30.0); loan.array[:] = {number}; loan.publish(stamp_ns=0,"
            f" sequence={number})"
        )

    view = check_a_view_stays_as_it_was(ViewsOf(box, put, keep))
    found = box.statistics()
    assert (found.leaks, found.free) == (1, 2)
    assert f"pid {os.getpid()}" in found.holders[0]
    del view
    assert box.statistics().free == 3


def test_popped_records_do_not_change_later(make_ring, records):
    ring = make_ring(capacity=8)
    reader = ring.subscribe()
    ring.push_many(records(0, 3))
    view = reader.pop_many(3).records
    for number in range(3, 60):
        ring.push(records(number, 1))
        reader.pop_many(9)
    np.testing.assert_array_equal(view["payload"], records(0, 3)["payload"])
