"""Identities: a pid alone is not unique over time."""

import os
import signal

from sage.mailbox.shared.memory import identity
from sage.mailbox.shared.memory.identity import identity_of, is_alive, my_identity, pid_of


def _child():
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    return child


def test_an_identity_distinguishes_a_process_from_a_later_one_with_its_pid():
    assert pid_of(my_identity()) == os.getpid()
    assert is_alive(my_identity())
    assert not is_alive(my_identity() + (1 << 22))


def test_a_killed_process_is_dead_before_its_parent_asks_and_a_stopped_one_is_not():
    child = _child()
    its = identity_of(child)
    os.kill(child, signal.SIGSTOP)
    os.waitid(os.P_PID, child, os.WSTOPPED | os.WNOWAIT)
    assert is_alive(its)
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # a zombie now
    assert not is_alive(its)
    os.waitpid(child, 0)
    assert identity_of(child) is None


def test_a_forked_child_has_another_identity():
    mine = my_identity()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, str(identity.my_identity()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = int(os.read(reading, 100))
    os.close(reading)
    os.close(writing)
    assert theirs != mine
    assert pid_of(theirs) == child
