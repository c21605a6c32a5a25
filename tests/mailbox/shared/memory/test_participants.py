"""Coming, going and being found dead: an entry is a living process's, and what a dead one held is taken back
first.
"""

import os
import signal
import threading

import pytest

from sage.mailbox import MailboxError
from sage.mailbox.shared.memory import census
from sage.mailbox.shared.memory.identity import my_identity
from sage.mailbox.shared.memory.participants import MAX_PARTICIPANTS, DeathWatch, Participants
from sage.mailbox.shared.memory.segment import FOLDER, HEADER_BYTES, PREFIX, Layout, Segment

LAYOUT = Layout(kind=7, num_bytes=2 * HEADER_BYTES, options={})
DIARY = HEADER_BYTES // 8  # a word behind the header, for what a process did before it died


@pytest.fixture
def name():
    name = f"test.{os.getpid()}.table"
    yield name
    (FOLDER / f"{PREFIX}{name}").unlink(missing_ok=True)


@pytest.fixture
def segment(name):
    return Segment.create(name, LAYOUT, prepare=Participants)


@pytest.fixture
def members(segment):
    return Participants(segment)


def _nothing(index):
    """For participants without resources."""


def _joined_and_killed(members, in_fork):
    """The number of a process that took an entry and died with it."""

    def work():
        members._segment.words[DIARY] = os.getpid()
        members.join(_nothing)
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_fork(work) == -signal.SIGKILL
    return members._segment.words[DIARY]


def test_one_process_can_have_several_entries(members):
    assert [members.join(_nothing) for _ in range(3)] == [0, 1, 2]
    members.leave(1, _nothing)
    assert members.join(_nothing) == 1
    assert members.identities() == dict.fromkeys(range(3), my_identity())
    assert members.describe() == f"pid {os.getpid()} x3"


def test_resources_of_the_dead_are_taken_back_before_their_entry_is_reused(members, in_fork):
    mine = members.join(_nothing)
    _joined_and_killed(members, in_fork)
    assert members.has_dead()
    taken_back = []

    def take_back(index):
        taken_back.append((index, members.identity(index) != 0))

    assert members.join(take_back) == 1
    assert taken_back == [(1, True)]  # its name stood there until then
    assert members.identity(mine) == my_identity()
    assert members.reap(take_back) == 0


def test_a_process_that_dies_during_take_back_leaves_the_rest_to_the_next(members, in_fork):
    for _ in range(3):
        _joined_and_killed(members, in_fork)
    started = [members.identity(index) for index in range(3)]
    assert started[1:] == [0, 0]  # each newcomer took the entry of the last dead
    for index in range(3):
        members._segment.words[members._first + index] = started[0]

    def die_at_the_second(index):
        if index == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_fork(lambda: members.reap(die_at_the_second)) == -signal.SIGKILL
    taken_back = []
    assert members.reap(taken_back.append) == 2
    assert taken_back == [1, 2]
    assert members.lock.num_owners_died == 1


def test_a_stopped_process_is_not_robbed_until_it_is_dead(members):
    pid = os.fork()
    if pid == 0:
        try:
            members.join(_nothing)
            os.kill(os.getpid(), signal.SIGSTOP)
        finally:
            os._exit(99)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
    assert members.reap(_nothing) == 0
    assert members.describe() == f"pid {pid}"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert members.reap(_nothing) == 1


def test_a_full_table_raises_with_its_participants(members):
    for _ in range(MAX_PARTICIPANTS):
        members.join(_nothing)
    with pytest.raises(MailboxError, match=rf"64 participants use it: close some \(pid {os.getpid()} x64\)"):
        members.join(_nothing)
    members.leave(63, _nothing)
    assert members.join(_nothing) == 63


def test_an_interrupt_while_the_lock_is_being_taken_does_not_keep_it(members, monkeypatch):
    acquire = members.lock.acquire

    def acquire_then_interrupt(timeout_secs):
        assert acquire(timeout_secs)
        raise KeyboardInterrupt

    monkeypatch.setattr(members.lock, "acquire", acquire_then_interrupt)
    with pytest.raises(KeyboardInterrupt):
        members.join(_nothing)
    monkeypatch.undo()
    got = []
    thread = threading.Thread(
        target=lambda: got.append(members.lock.try_acquire())
    )  # the owner's thread may not ask
    thread.start()
    thread.join(30.0)
    assert got == [True]


def test_two_threads_can_check_for_dead_processes_at_once(members, segment, in_fork):
    watch = DeathWatch(members, segment)
    assert not watch.has_dead()
    answers = []

    class Poll:
        """Another thread calls during poll, which select.poll refuses."""

        def poll(self, timeout):
            thread = threading.Thread(target=lambda: answers.append(watch.has_dead()))
            thread.start()
            thread.join(30.0)
            return [1]

    watch._poll = Poll()
    assert watch.has_dead()
    assert answers == [False]


def test_a_name_that_was_given_to_a_new_mailbox_is_not_removed(name, in_fork, monkeypatch):
    assert in_fork(lambda: Segment.create(name, LAYOUT) and None) == 0
    look, made = census._look, []

    def look_then_replace(found_name):
        found = look(found_name)
        if found_name == name:
            (FOLDER / f"{PREFIX}{name}").unlink()
            made.append(Segment.create(name, LAYOUT))
        return found

    monkeypatch.setattr(census, "_look", look_then_replace)
    assert name not in {found.name for found in census.remove_abandoned()}
    assert made[0].is_linked


def test_a_name_that_is_removed_during_the_listing_is_ignored(name, in_fork, monkeypatch):
    assert in_fork(lambda: Segment.create(name, LAYOUT) and None) == 0
    look = census._look

    def look_then_remove(found_name):
        found = look(found_name)
        if found_name == name:
            (FOLDER / f"{PREFIX}{name}").unlink()
        return found

    monkeypatch.setattr(census, "_look", look_then_remove)
    assert name not in {found.name for found in census.remove_abandoned()}
