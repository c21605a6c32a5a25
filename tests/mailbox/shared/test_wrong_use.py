"""Wrong use of mailboxes between processes: one error line with the fault, the place and the remedy."""

import errno
import os

import numpy as np
import pytest
import torch

from sage.mailbox import LeaseExpired, MailboxClosed, MailboxError, RealClock
from sage.mailbox.shared import SharedFocus, SharedPeripheral
from sage.mailbox.shared.memory import segment

ONE_LINE = 250
SOMEBODY_ELSE = 65534
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")


@pytest.fixture
def message_of():
    """message_of(error, call): the message of the error that `call` raises, which must be one line."""

    def ask(error, call):
        with pytest.raises(error) as caught:
            call()
        assert type(caught.value).__module__ in (
            "builtins",
            "sage.errors",
            "sage.mailbox.errors",
            "sage.mailbox.shared.memory.segment",
        )
        message = str(caught.value)
        assert "\n" not in message
        assert 0 < len(message) < ONE_LINE
        return message

    return ask


@pytest.fixture
def ring():
    ring = SharedPeripheral.create(f"test.{os.getpid()}.wrong", clock=RealClock(), capacity=8, engine="plain")
    yield ring
    ring.close()
    ring.unlink()


def test_publishing_twice(make_box, message_of):
    box = make_box()
    loan = box.loan((4,))
    loan.publish(stamp_ns=0, sequence=0)
    message = message_of(LeaseExpired, lambda: loan.publish(stamp_ns=0, sequence=0))
    assert message.endswith("this loan was published or discarded: request a new one")
    assert box.name in message


def test_writing_after_publish(make_box, message_of):
    box = make_box()
    loan = box.loan((4,))
    array = loan.array
    loan.publish(stamp_ns=0, sequence=0)
    assert "read-only" in message_of(ValueError, lambda: array.__setitem__(0, 1.0))
    for call in (lambda: loan.array, lambda: loan.tensor, loan.discard):
        assert "request a new one" in message_of(LeaseExpired, call)


def test_releasing_twice_and_reading_after_release(make_box, put, message_of):
    box = make_box()
    put(box, 1)
    lease = box.receive(timeout_secs=30.0)
    lease.release()
    for call in (lease.release, lease.claim, lambda: lease.array, lambda: lease.tensor):
        assert "receive again, or copy before releasing" in message_of(LeaseExpired, call)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.empty(4, device="meta"), "on the meta device, which has no data: move it to a device"),
        (torch.eye(2).to_sparse(), "layout is torch.sparse_coo: send tensor.to_dense()"),
        (torch.zeros(4, dtype=torch.complex64), "dtype is complex64: give one of bfloat16"),
        (np.zeros(4, "c8"), "dtype is complex64: give one of bfloat16"),
        (np.zeros(4, ">f4"), "in this machine's byte order"),
        (np.zeros(4)[::-1], "send np.ascontiguousarray(array)"),
        ([1.0, 2.0], "a list cannot be sent: give a numpy array or a torch tensor"),
        (np.zeros(4096), "a slot has 4096: raise slot_bytes"),
    ],
)
def test_a_tensor_of_the_wrong_kind(make_box, message_of, tensor, message):
    box = make_box()
    assert message in message_of(ValueError, lambda: box.send(tensor, stamp_ns=0, sequence=0))
    assert box.statistics().free == box.slots


def test_a_tensor_with_the_negative_bit_is_sent_with_its_values(make_box):
    box = make_box()
    assert box.send(torch.ones(4, dtype=torch.complex64).conj().imag, stamp_ns=0, sequence=0)
    with box.receive(timeout_secs=30.0) as lease:
        assert lease.array.tolist() == [0.0] * 4


def test_trust_and_quality_that_are_no_shares(make_box, message_of):
    box = make_box()
    with box.loan((4,)) as loan:
        assert "give numbers from 0 to 1" in message_of(
            ValueError, lambda: loan.publish(stamp_ns=0, sequence=0, trust=1.5)
        )
    assert "give 0 to 2^32 - 1" in message_of(ValueError, lambda: box.try_loan((4,), producer=-1))


def test_a_name_that_another_kind_or_layout_has(make_box, ring, message_of):
    box = make_box()
    clock = RealClock()
    assert "another kind: choose another name" in message_of(
        MailboxError, lambda: SharedPeripheral.attach(box.name, clock=clock)
    )
    assert "another kind: choose another name" in message_of(
        MailboxError, lambda: SharedFocus.attach(ring.name, clock=clock)
    )
    assert "attach to it, or unlink it first" in message_of(
        MailboxError, lambda: SharedFocus.create(ring.name, clock=clock, slot_bytes=64)
    )
    assert "exists with capacity 8, requested 16: use the same value, or another name" in message_of(
        MailboxError, lambda: SharedPeripheral.open(ring.name, clock=clock, capacity=16)
    )
    assert "give letters, digits" in message_of(
        ValueError, lambda: SharedFocus.create("../a b", clock=clock, slot_bytes=64)
    )
    assert "create it first" in message_of(
        MailboxError, lambda: SharedFocus.attach("nobody.made.this", clock=clock)
    )


def test_no_space_in_dev_shm(message_of, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(segment.os, "posix_fallocate", full)
    name = f"test.{os.getpid()}.nospace"
    for create in (
        lambda: SharedFocus.create(name, clock=RealClock(), slot_bytes=64),
        lambda: SharedPeripheral.create(name, clock=RealClock()),
    ):
        message = message_of(MailboxError, create)
        assert "MiB in /dev/shm" in message
        assert "are free: use fewer or smaller slots, or run `sage mailbox clean`" in message
    monkeypatch.undo()
    assert "create it first" in message_of(
        MailboxError, lambda: SharedFocus.attach(name, clock=RealClock())
    )  # nothing was left


def test_a_dev_shm_that_accepts_no_files(message_of, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(segment.os, "open", refuse)
    message = message_of(
        MailboxError, lambda: SharedFocus.create("test.nofiles", clock=RealClock(), slot_bytes=64)
    )
    assert "does not accept new files (Read-only file system): mount a tmpfs" in message


@only_root
def test_another_users_mailbox(make_box, message_of):
    box = make_box()
    os.chown(box._segment.path, SOMEBODY_ELSE, SOMEBODY_ELSE)
    clock = RealClock()
    for call in (
        lambda: SharedFocus.attach(box.name, clock=clock),
        lambda: SharedFocus.create(box.name, clock=clock, slot_bytes=64),
        lambda: SharedPeripheral.open(box.name, clock=clock),
    ):
        assert "belongs to another user: choose another name" in message_of(MailboxError, call)


def test_use_after_close(make_box, message_of):
    box = make_box()
    loan = box.loan((4,))
    box.close()
    for call in (
        box.try_receive,
        lambda: box.try_loan((4,)),
        lambda: loan.publish(stamp_ns=0, sequence=0),
        box.fileno,
    ):
        assert f"{box.name}: the mailbox was closed" == message_of(MailboxClosed, call)


def test_a_record_of_another_size(ring, message_of):
    assert "make it with record_dtype(256)" in message_of(ValueError, lambda: ring.push(b"x" * 128))
    reader = ring.subscribe()
    assert "give 1 or more" in message_of(ValueError, lambda: reader.pop_many(0))
    assert "give a contiguous, writable (2,)" in message_of(
        ValueError, lambda: reader.pop_many(2, out=np.empty(1, ring.dtype))
    )
    assert "a ticket from 0 to 0" in message_of(ValueError, lambda: ring.subscribe(start=7))
