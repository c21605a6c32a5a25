"""A lock that its owner's death opens."""

import ctypes
import mmap
import os
import signal
import threading

import pytest

from sage.mailbox import MailboxError
from sage.mailbox.shared.memory.mutex import RobustMutex


@pytest.fixture
def mutex():
    memory = mmap.mmap(-1, 4096)
    mutex = RobustMutex(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
    mutex.initialise()
    yield mutex
    del memory  # not before: the lock is only an address


def test_a_dead_owner_is_survived(mutex):
    child = os.fork()
    if child == 0:
        mutex.acquire(1.0)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert mutex.acquire(30.0)
    assert mutex.num_owners_died == 1
    mutex.release()
    assert mutex.try_acquire()
    mutex.release()


def test_a_living_owner_is_waited_for_and_named_as_the_trouble(mutex):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        mutex.acquire(1.0)
        os.write(writing, b"x")
        signal.pause()
    os.read(reading, 1)
    assert not mutex.try_acquire()
    with pytest.raises(MailboxError, match="SIGCONT"), mutex.held(0.02, "ring"):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with mutex.held(30.0, "ring"):
        pass


def test_threads_of_one_process_exclude_each_other(mutex):
    seen, num_each = [0], 200

    def count():
        for _ in range(num_each):
            with mutex.held(30.0, "ring"):
                now = seen[0]
                seen[0] = now + 1

    threads = [threading.Thread(target=count) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
    assert seen == [3 * num_each]
