"""The mailboxes in /dev/shm, and which of them are abandoned."""

import os
import subprocess
import sys

import pytest

from sage.mailbox.shared.memory.census import find_segments, remove_abandoned
from sage.mailbox.shared.memory.segment import FOLDER, HEADER_BYTES, PREFIX, Layout, Segment

LAYOUT = Layout(kind=7, num_bytes=HEADER_BYTES, options={})


@pytest.fixture
def name():
    name = f"test-{os.getpid()}-{os.urandom(4).hex()}"
    yield name
    (FOLDER / f"{PREFIX}{name}").unlink(missing_ok=True)


def _found(name):
    return next((found for found in find_segments() if found.name == name), None)


def _made_by_another_process(name):
    code = (
        "import sys; from sage.mailbox.shared.memory.segment import *;"
        "Segment.create(sys.argv[1], Layout(kind=7, num_bytes=HEADER_BYTES, options={}))"
    )
    subprocess.run([sys.executable, "-c", code, name], check=True)


def test_a_living_creators_mailbox_is_shown_and_left_alone(name):
    segment = Segment.create(name, LAYOUT)
    found = _found(name)
    assert (found.kind, found.num_bytes, found.creator, found.is_abandoned) == (
        7,
        HEADER_BYTES,
        os.getpid(),
        False,
    )
    assert name not in {each.name for each in remove_abandoned()}
    assert segment.is_linked


def test_segments_of_dead_processes_are_removed(name):
    _made_by_another_process(name)
    found = _found(name)
    assert found is None or found.is_abandoned  # None: a session of a test beside this one removed it
    remove_abandoned()
    assert _found(name) is None


def test_a_segment_with_a_living_participant_is_not_abandoned(name):
    from sage.mailbox.shared.memory.participants import Participants

    _made_by_another_process(name)
    segment = Segment.attach(name, kind=7)
    members = Participants(segment)
    members.lock.initialise()  # this creator made only the header
    index = members.join(lambda _: None)
    assert not _found(name).is_abandoned
    assert _found(name).pids == (os.getpid(),)
    members.leave(index, lambda _: None)
    found = _found(name)
    assert found is None or found.is_abandoned


def test_a_file_that_is_no_mailbox_is_named_and_left(name):
    path = FOLDER / f"{PREFIX}{name}"
    path.write_bytes(b"x" * 5000)
    assert "is not a mailbox" in _found(name).problem
    remove_abandoned()
    assert path.exists()
