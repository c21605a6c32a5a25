"""Named memory: whole or not there, checked at the door, never a bus error."""

import errno
import os

import pytest

from sage.mailbox import MailboxError, RealClock
from sage.mailbox.shared import SharedPeripheral
from sage.mailbox.shared.memory import segment
from sage.mailbox.shared.memory.segment import (
    FOLDER,
    HEADER_BYTES,
    KIND,
    MAGIC,
    NAMESPACE,
    NUM_BYTES,
    PREFIX,
    VERSION,
    Layout,
    Segment,
)

LAYOUT = Layout(kind=7, num_bytes=3 * HEADER_BYTES, options={"size": 5})


@pytest.fixture
def name():
    name = f"test.{os.getpid()}.segment"
    yield name
    (FOLDER / f"{PREFIX}{name}").unlink(missing_ok=True)


def test_one_process_reads_the_stores_of_another(name):
    made = Segment.create(name, LAYOUT)
    found = Segment.attach(name, kind=7, options={"size": 5})
    made.words[600] = 42
    assert found.words[600] == 42
    assert found.options(("size",)) == {"size": 5}
    assert (FOLDER / f"{PREFIX}{name}").stat().st_mode & 0o777 == 0o600


def test_a_name_is_taken_once_and_free_again_after_unlink(name):
    first = Segment.create(name, LAYOUT)
    with pytest.raises(MailboxError, match="exists"):
        Segment.create(name, LAYOUT)
    first.unlink()
    second = Segment.create(name, LAYOUT)
    first.unlink()  # not its own any more
    assert second.is_linked
    with pytest.raises(ValueError, match="give letters"):
        Segment.create("../passwd", LAYOUT)


def test_no_process_attaches_to_an_incomplete_segment(name):
    def prepare(made):
        with pytest.raises(MailboxError, match="no such mailbox"):
            Segment.attach(name, kind=7)
        made.words[100] = 1

    Segment.create(name, LAYOUT, prepare=prepare)
    assert Segment.attach(name, kind=7).words[100] == 1


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (MAGIC, "is not a mailbox"),
        (NUM_BYTES, "is not a mailbox"),
        (VERSION, "layout"),
        (KIND, "kind"),
        (NAMESPACE, "container"),
    ],
)
def test_a_wrong_header_is_refused_with_a_remedy(name, word, message):
    made = Segment.create(name, LAYOUT)
    made.words[word] += 1
    with pytest.raises(MailboxError, match=message):
        Segment.attach(name, kind=7)


def test_other_options_and_stray_files_are_refused(name):
    Segment.create(name, LAYOUT)
    with pytest.raises(MailboxError, match="size 5, requested 6"):
        Segment.attach(name, kind=7, options={"size": 6})
    path = FOLDER / f"{PREFIX}{name}"
    path.write_bytes(b"")
    with pytest.raises(MailboxError, match="is not a mailbox"):
        Segment.attach(name, kind=7)


def test_a_full_memory_raises_one_line_and_the_ring_stays_usable(name, monkeypatch, records):
    reserve = os.posix_fallocate

    def full(fd, start, num_bytes):
        if num_bytes > 100_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        reserve(fd, start, num_bytes)

    monkeypatch.setattr(segment.os, "posix_fallocate", full)
    ring = SharedPeripheral.create(name, clock=RealClock(), capacity=1024, engine="plain")
    with pytest.raises(MailboxError, match="MiB are free"):
        ring.push(records(0, 1))
    reader = ring.subscribe()
    monkeypatch.undo()
    assert ring.push(records(0, 1))
    assert len(reader.pop_many(1)) == 1
    ring.unlink()
    ring.close()


def test_a_file_larger_than_allowed_is_one_clear_line(name):
    import resource

    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        try:
            SharedPeripheral.create(name, clock=RealClock(), engine="plain")
        except MailboxError as error:
            os._exit(0 if "limit" in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_unused_lane_takes_no_memory(name):
    ring = SharedPeripheral.create(name, clock=RealClock(), capacity=1024, engine="plain")
    assert os.fstat(ring._segment.fd).st_blocks * 512 < 64 * 1024
    ring.unlink()
    ring.close()
