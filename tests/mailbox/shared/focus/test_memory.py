"""What the memory of a shared pool itself forbids, and how long it lasts."""

import faulthandler
import gc
import signal

import numpy as np
import pytest
import torch

from sage.mailbox import MailboxError
from sage.mailbox.shared.focus import layout as layout
from sage.mailbox.tensor_spec import ITEM_BYTES, TensorSpec


def _write_by_numpy(lease):
    array = lease.array
    array.flags.writeable = True  # numpy's own guard can be taken off, the memory's cannot
    array[0] = 9.0


def _write_by_torch(lease):
    torch.neg(lease.tensor, out=lease.tensor)


@pytest.mark.parametrize("write", [_write_by_numpy, _write_by_torch])
def test_a_write_to_a_lease_kills_the_writing_process_only(make_box, put, in_fork, write):
    box = make_box(receivers="each")
    box.listen()

    def offend():
        faulthandler.disable()  # it would tell the tests' log about this
        box.listen()
        put(box, 1)
        write(box.receive(timeout_secs=30.0))

    assert in_fork(offend) == -signal.SIGSEGV
    assert box.reap() == 1
    with box.receive(timeout_secs=30.0) as lease:
        assert (lease.array == 1.0).all()
    assert box.statistics().free == box.slots


def test_a_claim_is_in_place_only_without_other_users_of_the_tensor(make_box, make_peer, put):
    box = make_box(receivers="each")
    box.listen()
    peer = make_peer(box)
    peer.tell("box.listen()")
    put(box, 1)
    lease = box.receive(timeout_secs=30.0)
    peer.tell("lease = box.receive(timeout_secs=30.0)")
    copy = lease.claim()
    copy[:] = 5.0
    assert peer.ask("lease.array.tolist()") == [1.0] * 4
    peer.tell("lease.release()")
    mine = lease.claim()
    mine[:] = 6.0
    assert (lease.array == 6.0).all()
    assert box.statistics().bytes_copied == 16


def test_views_outlive_handle_name_and_mailbox(make_box, put):
    box = make_box()
    put(box, 7)
    view = box.receive(timeout_secs=30.0).array[1:]
    box.close()
    box.unlink()
    del box
    gc.collect()
    assert (view == 7.0).all()


def test_slots_begin_on_pages_whatever_their_size(make_box):
    box = make_box(slots=3, slot_bytes=100)
    loans = [box.loan((5,)) for _ in range(3)]
    assert [loan.array.ctypes.data % layout.PAGE_BYTES for loan in loans] == [0, 0, 0]
    assert len(bytes(box._segment.memory)) == layout.CONTROL_BYTES + 3 * layout.PAGE_BYTES


@pytest.mark.parametrize("dtype", sorted(ITEM_BYTES))
@pytest.mark.parametrize("shape", [(), (0,), (3, 1, 2), (1,) * 8])
def test_a_description_comes_back_as_it_was(dtype, shape):
    spec = TensorSpec(shape=shape, dtype=dtype)
    assert layout.spec_from(layout.spec_bytes(spec), 4096) == spec


@pytest.mark.parametrize(("word", "value"), [(0, 999), (1, 7777), (2, 9), (2, -1), (3, -4), (4, 1 << 40)])
def test_a_description_that_makes_no_sense_is_refused(word, value):
    words = np.frombuffer(layout.spec_bytes(TensorSpec(shape=(2, 3))), np.int64).copy()
    words[word] = value
    with pytest.raises(MailboxError, match="wrote over this mailbox"):
        layout.spec_from(words.tobytes(), 4096)
