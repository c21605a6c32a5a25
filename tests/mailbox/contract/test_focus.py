import gc
import threading

import numpy as np
import pytest
import torch

from sage.mailbox import FocusMailbox, LeaseExpired, MailboxClosed, MailboxEmpty, MailboxError, MailboxFull
from sage.mailbox.shared import SharedFocus
from sage.mailbox.tensor_spec import ITEM_BYTES


def _only(box, **options):
    lease = box.try_receive(**options)
    assert lease is not None
    return lease


def _address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("num_elements", [1, 1_000_000])
def test_the_reader_sees_the_writers_memory_whatever_its_size(make_focus, num_elements):
    box = make_focus(slot_bytes=4 * num_elements)
    loan = box.try_loan((num_elements,))
    window = loan.array[-1:]
    loan.publish(stamp_ns=7, sequence=9)
    window[:] = nonce = 1234.5  # nothing that was copied at publish could know it
    with _only(box) as lease:
        assert _address(lease.array) == lease.tensor.data_ptr()
        assert lease.array[-1] == lease.tensor[-1] == nonce
    found = box.statistics()
    assert (found.bytes_copied, found.bytes_referenced) == (0, 4 * num_elements)


@pytest.mark.parametrize("dtype", sorted(ITEM_BYTES))
def test_every_dtype_travels_as_itself(make_focus, dtype):
    box = make_focus()
    sent = torch.arange(6).reshape(2, 3).to(getattr(torch, dtype))
    assert box.send(sent, stamp_ns=0, sequence=0)
    with box.try_loan((2, 3), dtype) as loan:
        loan.tensor.copy_(sent)
        loan.publish(stamp_ns=0, sequence=1)
    for _ in range(2):
        with _only(box) as lease:
            assert lease.tensor.dtype == sent.dtype
            assert lease.array.dtype.itemsize == ITEM_BYTES[dtype]
            assert torch.equal(lease.tensor.to(torch.float32), sent.to(torch.float32))


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (1, 2, 1, 2, 1, 2, 1, 2)])
def test_scalars_empty_and_eight_dims_travel(make_focus, shape):
    box = make_focus()
    assert box.send(np.full(shape, 3.0), stamp_ns=0, sequence=0)
    with _only(box) as lease:
        assert lease.array.shape == tuple(lease.tensor.shape) == shape
        assert (lease.array == 3.0).all()


def test_strided_arrays_are_copied_in_and_negative_strides_refused(make_focus):
    box, grid = make_focus(), np.arange(24.0).reshape(4, 6)
    assert box.send(grid.T[::2], stamp_ns=0, sequence=0)
    with _only(box) as lease:
        np.testing.assert_array_equal(lease.array, grid.T[::2])
    assert box.statistics().bytes_copied == grid.nbytes // 2
    with pytest.raises(ValueError, match="negative strides"):
        box.send(grid[::-1], stamp_ns=0, sequence=0)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        ([1.0], "list"),
        (np.zeros(3, "c8"), "complex64"),
        (np.zeros(3, ">f4"), "byte order"),
        (np.zeros(2_000), "16000 bytes"),
    ],
)
def test_an_unsupported_tensor_is_refused(make_focus, tensor, message):
    with pytest.raises(ValueError, match=message):
        make_focus().send(tensor, stamp_ns=0, sequence=0)


def test_a_loan_that_no_slot_can_hold_is_refused(make_focus):
    box = make_focus()
    for shape, dtype, message in (
        ((1025,), "float32", "raise slot_bytes"),
        ((1,) * 9, "uint8", "8 sizes"),
        ((2,), "int3", "int3"),
    ):
        with pytest.raises(ValueError, match=message):
            box.try_loan(shape, dtype)


def test_readers_views_cannot_be_written(make_focus, publish):
    box = make_focus()
    publish(box, 1)
    with _only(box) as lease, pytest.raises(ValueError, match="read-only"):
        lease.array[0] = 2.0


def test_writing_after_publish_raises(make_focus):
    box = make_focus()
    loan = box.try_loan((4,))
    array = loan.array
    loan.publish(stamp_ns=0, sequence=0)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1.0
    for call in (
        lambda: loan.array,
        lambda: loan.tensor,
        loan.discard,
        lambda: loan.publish(stamp_ns=0, sequence=0),
    ):
        with pytest.raises(LeaseExpired, match="published or discarded"):
            call()


def test_touching_a_released_lease_raises(make_focus, publish):
    box = make_focus()
    publish(box, 5)
    with _only(box) as lease:
        assert lease.meta.sequence == 5
    for call in (lambda: lease.array, lambda: lease.tensor, lease.claim, lease.release):
        with pytest.raises(LeaseExpired, match="released"):
            call()
    assert lease.meta.stamp_ns == 5


@pytest.mark.parametrize(
    "keep",
    [
        lambda lease: lease.array,
        lambda lease: lease.array[1:],
        lambda lease: lease.array.reshape(2, 2).T,
        lambda lease: memoryview(lease.array),
        lambda lease: lease.tensor,
        lambda lease: lease.tensor[1:].view(3, 1),
        lambda lease: torch.from_dlpack(lease.tensor),
        lambda lease: lease.tensor.numpy()[::2],
        lambda lease: np.from_dlpack(lease.tensor),
        lambda lease: np.from_dlpack(lease),
    ],
)
def test_every_view_taken_from_a_lease_holds_the_slot(make_focus, publish, keep):
    box = make_focus(slots=1)
    publish(box, 3)
    lease = _only(box)
    view = keep(lease)
    lease.release()
    found = box.statistics()
    assert (found.leaks, found.leaks_total, found.free) == (1, 1, 0)
    assert "views of it are alive" in found.holders[0]
    assert box.try_loan((4,)) is None
    assert float(np.asarray(view).reshape(-1)[0]) == 3.0
    del view
    assert box.statistics().leaks == 0
    assert box.try_loan((4,)) is not None


def test_a_slot_with_a_writers_view_is_not_reused_either(make_focus):
    box = make_focus(slots=1)
    loan = box.try_loan((4,))
    tensor = loan.tensor
    loan.publish(stamp_ns=0, sequence=0)
    _only(box).release()
    assert box.try_loan((4,)) is None
    del tensor
    assert box.try_loan((4,)) is not None


def test_debug_mode_names_who_wrote_to_a_leased_tensor(make_focus, publish):
    box = make_focus(debug=True)
    if isinstance(box, SharedFocus):
        pytest.skip("the memory forbids it: tests/mailbox/shared/focus/test_memory.py")
    publish(box, 1, producer=7)
    lease = _only(box)
    lease.tensor[0] = 99.0
    with pytest.raises(MailboxError, match=r"written to .*producer 7 in MainThread"):
        lease.release()
    assert box.statistics().free == 4
    publish(box, 2)
    _only(box).release()


def test_debug_mode_finds_a_write_after_publish(make_focus):
    box = make_focus(debug=True)
    loan = box.try_loan((4,), producer=7)
    window = loan.array[1:]
    loan.publish(stamp_ns=0, sequence=0)
    lease = _only(box)
    window[0] = 99.0
    with pytest.raises(MailboxError, match=r"written to .*producer 7 in MainThread"):
        lease.release()
    del window
    assert box.statistics().free == 4


def test_claim_is_in_place_when_alone_and_a_counted_copy_when_not(make_focus, publish):
    box = make_focus(debug=True)
    publish(box, 1)
    with _only(box) as lease:
        mine = lease.claim()
        mine[0] = 5.0
        assert lease.array[0] == 5.0
        del mine
    assert box.statistics().bytes_copied == 0
    publish(box, 2)
    with _only(box) as lease:
        other = lease.array[1:]
        mine = lease.claim()
        mine[:] = 0.0
        assert (other == 2.0).all()
    assert box.statistics().bytes_copied == 16


def test_a_stalled_writer_that_continues_fails_and_corrupts_nothing(make_focus, publish, take):
    box = make_focus(slots=2)
    stalled, other = box.try_loan((4,), producer=3), box.try_loan((4,), producer=4)
    array = stalled.array
    assert box.reclaim(3) == 1
    for value in range(5):
        publish(box, value)  # only the other slot could serve, and it is loaned
    assert take(box) == []
    array[:] = -1.0
    assert stalled.publish(stamp_ns=0, sequence=0) is False
    other.discard()
    del array
    publish(box, 8)
    publish(box, 9)
    assert take(box) == [8, 9]
    found = box.statistics()
    assert (found.orphans, found.drops.stale) == (1, 1)
    assert next(p.drops.stale for p in found.producers if p.producer == 3) == 1


def test_a_reclaimed_loan_never_touched_gives_its_slot_at_once(make_focus, publish, take):
    box = make_focus(slots=1)
    stalled = box.try_loan((4,), producer=3)
    box.reclaim(3)
    assert publish(box, 1)
    with pytest.raises(LeaseExpired, match="taken back"):
        _ = stalled.array
    assert stalled.publish(stamp_ns=0, sequence=0) is False
    assert take(box) == [1]


def test_a_loan_or_lease_dropped_without_an_end_is_an_orphan(make_focus, publish):
    box = make_focus(slots=1)
    box.try_loan((4,))
    gc.collect()
    assert publish(box, 1)
    view = _only(box).array
    assert box.try_loan((4,)) is None
    assert (view == 1.0).all()
    del view
    found = box.statistics()
    assert (found.orphans, found.free) == (2, 1)


def test_leaving_with_unpublished_discards(make_focus):
    box = make_focus(slots=1)
    with pytest.raises(RuntimeError), box.try_loan((4,)):
        raise RuntimeError
    found = box.statistics()
    assert (found.free, found.orphans, found.pushed) == (1, 0, 0)


def test_generations_grow_with_each_use(make_focus, publish):
    box, generations = make_focus(slots=1), []
    for value in range(3):
        publish(box, value)
        with _only(box) as lease:
            generations.append(lease.meta.generation)
    assert generations == [1, 2, 3]


def test_newest_returns_the_latest_stamp_and_counts_the_others(make_focus, publish):
    box = make_focus()
    for stamp_ns, sequence in ((10, 0), (30, 1), (20, 2)):
        publish(box, sequence, stamp_ns=stamp_ns)
    with _only(box, newest=True) as lease:
        assert (lease.meta.sequence, lease.meta.stamp_ns) == (1, 30)
    found = box.statistics()
    assert (found.drops.superseded, found.depth, found.free) == (2, 0, 4)


def test_an_expired_tensor_is_not_delivered_and_a_borrowed_one_not_revoked(make_focus, publish, clock):
    box = make_focus(ttl_ns=100)
    publish(box, 1)
    publish(box, 2, ttl_ns=1_000)
    lease = _only(box)
    assert lease.meta.deadline_ns == clock.now_ns() + 100
    clock.advance(500)
    assert (lease.array == 1.0).all()
    publish(box, 3)
    clock.advance(100)
    with _only(box, newest=True) as other:
        assert other.meta.sequence == 2
    assert box.try_receive() is None
    assert box.statistics().drops.expired == 1


def test_a_timeout_raises_with_the_reason(make_focus):
    box = make_focus(slots=1, policy="block")
    with pytest.raises(MailboxEmpty, match="nothing was published"):
        box.receive(timeout_secs=0.01)
    loan = box.loan((4,), producer=5)
    with pytest.raises(MailboxFull, match=r"slot 0 loaned, producer 5 in MainThread"):
        box.loan((4,), timeout_secs=0.01)
    loan.discard()


def test_closing_wakes_all_waiters_and_leaves_leases_valid(make_focus, publish):
    box = make_focus(slots=2)
    publish(box, 1)
    publish(box, 2)
    lease, raised = _only(box), []

    def write():
        with pytest.raises(MailboxClosed) as caught:
            box.loan((4,), timeout_secs=30.0)
        raised.append(caught)

    late = box.try_loan((4,))
    held = box.try_loan((4,))
    writer = threading.Thread(target=write)
    writer.start()
    box.close()
    writer.join(30.0)
    assert len(raised) == 1
    assert (lease.array == 1.0).all()
    lease.release()
    for call in (box.try_receive, lambda: late.publish(stamp_ns=0, sequence=0), lambda: box.try_loan((4,))):
        with pytest.raises(MailboxClosed):
            call()
    assert held is None


def test_a_view_outlives_the_mailbox(clock):
    box = FocusMailbox("short", clock=clock, slot_bytes=16)
    box.send(np.full(4, 7.0, np.float32), stamp_ns=0, sequence=0)
    array = _only(box).array
    box.close()
    del box
    gc.collect()
    assert (array == 7.0).all()


class LateFence:
    def __init__(self):
        self.passed = False

    def is_passed(self):
        return self.passed


class LateBackend:
    """A backend whose consumers still read after their release, as a stream does."""

    name = "late"

    def __init__(self, host):
        self.host, self.fences = host, []

    def allocate(self, num_bytes):
        return self.host.allocate(num_bytes)

    def fence(self):
        self.fences.append(LateFence())
        return self.fences[-1]


def test_a_slot_waits_for_its_consumers_fence(publish, backend, clock):
    late = LateBackend(backend)
    box = FocusMailbox("focus", clock=clock, slots=1, slot_bytes=4096, backend=late)
    publish(box, 1)
    _only(box).release()
    assert box.try_loan((4,)) is None
    found = box.statistics()
    assert (found.leaks, found.free) == (0, 0)
    late.fences[0].passed = True
    assert box.try_loan((4,)) is not None


def test_telemetry_adds_up(make_focus, publish, take, clock):
    box = make_focus(slots=2)
    for value in range(5):
        publish(box, value)
    clock.advance(10_000)
    lease = _only(box)
    clock.advance(1_000)
    lease.release()
    assert take(box) == [4]
    found = box.statistics()
    assert (found.pushed, found.popped, found.depth, found.high_water, found.free) == (5, 2, 0, 2, 2)
    assert (found.drops.oldest, found.drops.total) == (3, 3)
    assert found.push_to_pop.count == found.borrow.count == 2
    assert 10_000 <= found.push_to_pop.p50_ns <= 12_500
    assert 1_000 <= found.borrow.p99_ns <= 1_250
