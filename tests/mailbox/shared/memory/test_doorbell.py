"""Waiting for another process: no waiter misses a ring, however waiter and notifier end."""

import mmap
import os
import signal
import threading
import time

import pytest

from sage.mailbox.shared.memory import doorbell, futex
from sage.mailbox.shared.memory.doorbell import Doorbell, full_fence

CONDITION = 2  # the word behind the doorbell's two
NEVER = 3_600.0


class Shared:
    """A doorbell and a condition in memory that a fork shares. Each ring of it is one change of the
    condition.
    """

    def __init__(self):
        import ctypes

        self.memory = mmap.mmap(-1, mmap.PAGESIZE)
        self.words = memoryview(self.memory).cast("q")
        self.bell = Doorbell(self.words, 0, ctypes.addressof(ctypes.c_char.from_buffer(self.memory)))

    def is_open(self):
        return bool(self.words[CONDITION])

    def open(self):
        self.words[CONDITION] = 1
        full_fence()
        if self.bell.is_watched:
            self.bell.ring()

    def wait(self):
        return self.bell.wait_for(self.is_open, 30.0, poll_secs=NEVER)


@pytest.fixture
def shared():
    return Shared()


def _until(condition):
    while not condition():
        os.sched_yield()


def _is_asleep(pid):
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[0] == b"S"


def _child(work):
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            status = 0 if work() else 1
        finally:
            os._exit(status)
    return pid


def _status(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_condition_that_holds_is_not_waited_for(shared):
    shared.open()
    assert shared.bell.wait_for(shared.is_open, 0.0)
    assert not shared.bell.is_watched


def test_every_sleeper_of_every_process_is_woken_by_one_ring(shared):
    children = [_child(shared.wait) for _ in range(3)]
    threads = [threading.Thread(target=shared.wait) for _ in range(2)]
    for thread in threads:
        thread.start()
    _until(lambda: shared.bell.is_watched and all(_is_asleep(pid) for pid in children))
    shared.open()
    assert [_status(pid) for pid in children] == [0, 0, 0]
    for thread in threads:
        thread.join(30.0)
        assert not thread.is_alive()


def test_a_ring_at_any_step_of_a_wait_wakes_the_waiter(shared, monkeypatch):
    """With an hour between looks, one that was missed would hang."""
    for moment in range(3):  # after the first look, after the second (the flag is up), before the sleep
        shared.words[CONDITION], steps = 0, iter(range(99))

        def strike(steps=steps, moment=moment):
            if next(steps) == moment:
                shared.open()

        def look(strike=strike):
            found = shared.is_open()
            strike()  # after the look, so that this one has missed it
            return found

        def sleep(*where, strike=strike, sleep=futex.wait):
            strike()
            sleep(*where)

        monkeypatch.setattr(doorbell.futex, "wait", sleep)
        assert shared.bell.wait_for(look, 30.0, poll_secs=NEVER)
        monkeypatch.undo()


def test_a_ring_that_was_for_another_does_not_end_the_wait(shared):
    looks = []

    def look():
        looks.append(shared.is_open())
        return looks[-1]

    thread = threading.Thread(target=lambda: shared.bell.wait_for(look, 30.0, poll_secs=NEVER))
    thread.start()
    for num_looks in (2, 3, 4):
        _until(lambda n=num_looks: len(looks) >= n and shared.bell.is_watched)
        shared.bell.ring()
    _until(lambda: len(looks) >= 5 and shared.bell.is_watched)
    shared.open()
    thread.join(30.0)
    assert looks[-1]
    assert not any(looks[:-1])


def test_a_sleeper_that_is_killed_leaves_nothing_to_clean_up(shared):
    killed, survivor = _child(shared.wait), _child(shared.wait)
    _until(lambda: shared.bell.is_watched and _is_asleep(killed) and _is_asleep(survivor))
    os.kill(killed, signal.SIGKILL)
    assert _status(killed) == -signal.SIGKILL
    shared.open()
    assert _status(survivor) == 0


def test_a_ring_without_waiters_changes_nothing(shared):
    shared.bell.ring()
    assert not shared.bell.is_watched
    assert not shared.bell.wait_for(shared.is_open, 0.01)


def test_a_change_without_a_ring_is_seen_at_the_next_check(shared):
    looks = []

    def look():
        looks.append(True)
        return len(looks) == 5  # as a dying view, or a clock: it calls nobody

    assert shared.bell.wait_for(look, 30.0, poll_secs=0.001)


def test_a_spinner_looks_without_raising_the_flag(shared):
    flags = []

    def look():
        flags.append(shared.bell.is_watched)
        return len(flags) == 50

    assert shared.bell.wait_for(look, 30.0, spin_secs=30.0)
    assert not any(flags)


def test_an_interrupted_wait_can_be_taken_up_again(shared):
    def interrupt(*_):
        raise InterruptedError

    def wait():
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        shared.wait()

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(InterruptedError):
            wait()
    finally:
        signal.signal(signal.SIGALRM, before)
    threading.Timer(0.02, shared.open).start()
    assert shared.wait()


def test_time_that_is_over_is_not_waited_for(shared):
    assert not shared.bell.wait_for(shared.is_open, -1.0)
    assert not shared.bell.wait_for(shared.is_open, 0.0)


def test_a_child_forked_while_a_thread_rings_can_ring_too(shared):
    with doorbell._fence_lock:  # as a thread that is not in the child would hold it
        child = _child(lambda: shared.open() or True)
    ended, end_secs = (0, 0), time.monotonic() + 30.0
    while ended[0] == 0 and time.monotonic() < end_secs:
        ended = os.waitpid(child, os.WNOHANG)
        os.sched_yield()
    if ended[0] == 0:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert ended == (child, 0)
