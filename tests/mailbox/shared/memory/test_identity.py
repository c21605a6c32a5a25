"""Identities: a pid alone is not unique over time."""

import os
import signal

from sage.mailbox.shared.memory import identity
from sage.mailbox.shared.memory.identity import end_with, identity_of, is_alive, my_identity, pid_of


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


def test_a_process_ends_with_the_one_that_started_it_also_when_that_is_dead_already():
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        mine = my_identity()
        if os.fork() == 0:
            end_with(mine)
            os.write(writing, b"1")
            signal.pause()
            os._exit(0)
        signal.pause()
    assert os.read(reading, 1) == b"1"
    os.close(writing)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert os.read(reading, 1) == b""  # its last holder has ended
    os.close(reading)
    late = os.fork()
    if late == 0:
        end_with(my_identity() + (1 << 22))
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(late, 0)[1]) == 0
