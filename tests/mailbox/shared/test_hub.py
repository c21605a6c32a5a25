"""A hub's shared mailboxes: attached to by name, shown in its snapshot, gone when it closes."""

import numpy as np
import pytest

from sage.mailbox import Hub, ManualClock
from sage.mailbox.shared import SharedFocus, SharedPeripheral
from sage.mailbox.shared.memory.census import find_segments


@pytest.fixture
def hub():
    with Hub(ManualClock(1_000)) as hub:
        yield hub


def test_others_attach_by_the_mailboxs_own_name(hub):
    ring, box = (
        hub.shared_peripheral("records", capacity=8),
        hub.shared_focus("camera", slots=2, slot_bytes=64),
    )
    assert hub.shared_focus("camera", slots=2) is box
    other_ring = SharedPeripheral.attach(ring.name, clock=ManualClock())
    subscription = ring.subscribe()
    assert other_ring.push(np.zeros((), dtype=ring.dtype))
    assert len(subscription.try_pop_many(8)) == 1
    other_box = SharedFocus.attach(box.name, clock=ManualClock())
    with other_box.loan((4,)) as loan:
        loan.array[:] = 7
        loan.publish(stamp_ns=1, sequence=1)
    with box.receive(timeout_secs=0.0) as lease:
        assert (lease.array == 7).all()
    snapshot = hub.snapshot()
    assert [(each.name, each.pushed) for each in snapshot.peripheral] == [(ring.name, 1)]
    assert [(each.name, each.popped, each.bytes_copied) for each in snapshot.focus] == [(box.name, 1, 0)]
    other_box.close()
    other_ring.close()


def test_closing_the_hub_leaves_nothing_behind():
    with Hub(ManualClock()) as hub:
        names = {
            hub.shared_peripheral("records", capacity=8).name,
            hub.shared_focus("camera", slot_bytes=64).name,
        }
        assert names <= {found.name for found in find_segments()}
    assert not names & {found.name for found in find_segments()}


def test_two_hubs_do_not_meet(hub):
    with Hub(ManualClock()) as other:
        assert (
            hub.shared_focus("camera", slot_bytes=64).name != other.shared_focus("camera", slot_bytes=64).name
        )


def test_a_name_is_one_kind_of_mailbox(hub):
    hub.focus("camera", slot_bytes=64)
    with pytest.raises(ValueError, match="exists as a FocusMailbox, requested as a SharedFocus"):
        hub.shared_focus("camera", slot_bytes=64)
