"""A slot in the same state, of the same participant, but of a later generation is another loan."""

import pytest

from sage.mailbox import LeaseExpired


def test_a_loan_of_an_earlier_generation_publishes_nothing_and_shows_no_memory(make_box, put):
    box = make_box(slots=1)
    old = box.loan((4,), producer=3)
    assert box.reclaim(3) == 1
    new = box.loan((4,), producer=3)
    assert (new.index, new.producer) == (old.index, old.producer)
    assert new.generation == old.generation + 1
    with pytest.raises(LeaseExpired, match="taken back"):
        _ = old.array
    assert not old.publish(stamp_ns=0, sequence=0)
    assert box.statistics().drops.stale == 1
    assert box.try_receive() is None
    new.array[:] = 7.0
    assert new.publish(stamp_ns=1, sequence=1)
    with box.try_receive() as lease:
        assert lease.array.tolist() == [7.0] * 4


def test_a_discarded_loan_of_an_earlier_generation_leaves_the_new_one_alone(make_box):
    box = make_box(slots=1)
    old = box.loan((4,), producer=3)
    box.reclaim(3)
    new = box.loan((4,), producer=3)
    old.discard()
    assert new.publish(stamp_ns=0, sequence=0)
