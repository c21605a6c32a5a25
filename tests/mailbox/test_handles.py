"""The handles work over any store: a pool of one numpy array needs nothing else."""

import numpy as np
import pytest

from sage.mailbox.errors import LeaseExpired
from sage.mailbox.handles import Lease, Loan
from sage.mailbox.meta import FocusMeta


class ListStore:
    """The smallest store: one slot, one message, memory of its own."""

    is_ordered = False

    def __init__(self):
        self.epoch = 0
        self.memory = np.zeros(4)
        self.messages = []
        self.num_free = 1

    def index_of(self, place):
        return place

    def lend(self):
        self.num_free -= 1
        return Loan(self, 0, self.memory.shape, 1, 9)

    def view_loan(self, loan):
        if loan.is_ended:
            loan.raise_ended("list")
        return self.memory[:]

    tensor_of_loan = view_loan

    def publish(self, loan, stamp_ns, sequence, trust, quality, ttl_ns):
        if loan.is_ended:
            loan.raise_ended("list")
        loan.end()
        self.messages.append((stamp_ns, sequence, trust, quality, loan))
        return True

    def discard(self, loan):
        loan.end()
        self.num_free += 1

    def take(self):
        return Lease(self, 0, self.memory.shape, 1, 5)

    def view_lease(self, lease):
        if lease.is_ended:
            lease.raise_ended()
        view = self.memory[:]
        view.flags.writeable = False
        return view

    tensor_of_lease = view_lease

    def meta(self, lease):
        if lease.is_ended:
            lease.raise_ended()
        stamp_ns, sequence, trust, quality, loan = self.messages[0]
        return FocusMeta(
            sequence=sequence, stamp_ns=stamp_ns, producer=loan.producer, trust=trust, quality=quality,
            generation=lease.generation, slot=lease.index, deadline_ns=None,
        )  # fmt: skip

    def claim(self, lease):
        lease.drop_array()
        return self.memory

    def release(self, lease):
        if lease.is_ended:
            lease.raise_ended()
        lease.end()
        self.num_free += 1

    def dlpack(self, lease, stream, options):
        return self.memory.__dlpack__(stream=stream, **options)

    def dlpack_device(self, lease):
        return self.memory.__dlpack_device__()


def test_a_store_is_all_that_the_handles_need():
    store = ListStore()
    with store.lend() as loan:
        array = loan.array
        array[:] = 3.0
        assert loan.word == 1 << 32
        assert loan.publish(stamp_ns=7, sequence=2)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1.0
    with pytest.raises(LeaseExpired, match="list: slot 0: this loan was published or discarded"):
        _ = loan.array
    with store.take() as lease:
        assert lease.array.tolist() == [3.0] * 4
        assert np.from_dlpack(lease).tolist() == [3.0] * 4
        assert (lease.meta.stamp_ns, lease.meta.producer) == (7, 9)
        assert lease.claim() is store.memory
    assert lease.meta.sequence == 2  # read during the lease
    with pytest.raises(LeaseExpired, match="slot 0: this lease was released"):
        _ = lease.array
    with pytest.raises(LeaseExpired):
        lease.release()


def test_leaving_the_block_discards_a_loan_that_was_not_published():
    store = ListStore()
    with store.lend():
        assert store.num_free == 0
    assert store.num_free == 1


@pytest.mark.parametrize("make", [ListStore.lend, ListStore.take])
def test_a_handle_of_an_earlier_epoch_ends_nothing(make):
    store = ListStore()
    free = store.num_free
    with make(store) as handle:
        num_free = store.num_free
        store.epoch += 1  # as in a forked child
    assert not handle.is_ended
    assert store.num_free == num_free <= free
