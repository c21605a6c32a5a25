"""A forked child has copies of its parent's handles and views, and gives back none of them."""

import pytest

from sage.mailbox import MailboxClosed


def _ask(box):
    box.statistics()


def _use(box):
    box.close()
    with pytest.raises(MailboxClosed):
        box.try_receive()


def _leave_alone(box):
    """And end."""


@pytest.mark.parametrize("use", [_ask, _use, _leave_alone])
def test_a_view_dropped_in_the_child_still_holds_the_parents_slot(make_box, put, in_fork, use):
    box = make_box(slots=1)
    put(box, 1)
    lease = box.receive(timeout_secs=30.0)
    views = [lease.array]
    lease.release()

    def work():
        views.clear()
        use(box)

    assert in_fork(work) == 0
    assert box.try_loan((4,)) is None
    assert views[0].tolist() == [1.0] * 4
    views.clear()
    assert box.statistics().free == 1


@pytest.mark.parametrize("use", [_ask, _use, _leave_alone])
def test_handles_dropped_in_the_child_are_the_parents_still(make_box, put, in_fork, use):
    box = make_box(slots=2)
    put(box, 1)
    held = [box.receive(timeout_secs=30.0), box.loan((4,))]

    def work():
        held.clear()
        use(box)

    assert in_fork(work) == 0
    assert box.try_loan((4,)) is None
    lease, loan = held
    assert lease.array.tolist() == [1.0] * 4
    lease.release()
    assert loan.publish(stamp_ns=0, sequence=2)
    assert box.statistics().orphans == 0
