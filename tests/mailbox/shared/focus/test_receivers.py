"""Shared focus pools with receivers="each": every listening participant receives each message."""

from dataclasses import fields

import pytest

from sage.mailbox import DropCounts, MailboxFull
from sage.mailbox.shared.focus.ending import NO_RECEIVER
from sage.mailbox.shared.focus.queue import NUM_REASONS


@pytest.fixture
def make_each(make_box):
    return lambda **options: make_box(receivers="each", **options)


def _sequences(box):
    found = []
    while (lease := box.try_receive()) is not None:
        with lease:
            found.append(lease.meta.sequence)
    return found


def test_each_listener_gets_each_message_in_order(make_each, make_peer, put):
    box = make_each()
    box.listen()
    peer = make_peer(box)
    peer.tell("box.listen()")
    for value in range(3):
        put(box, value)
    assert _sequences(box) == [0, 1, 2]
    assert box.statistics().free == 1  # the peer has yet to see them
    assert peer.ask("[box.try_receive().meta.sequence for _ in range(3)]") == [0, 1, 2]
    assert peer.ask("box.try_receive()") is None
    found = box.statistics()
    assert (found.pushed, found.popped, found.depth) == (3, 6, 0)


def test_a_later_listener_does_not_receive_earlier_messages(make_each, make_peer, put):
    box = make_each()
    put(box, 0)  # nobody listens: gone
    assert box.try_receive() is None  # from here on, it listens
    put(box, 1)
    peer = make_peer(box)
    assert peer.ask("box.try_receive()") is None
    assert _sequences(box) == [1]
    assert box.statistics().free == 4


def test_a_message_without_a_listener_is_dropped_and_counted(make_each, put):
    box = make_each()
    put(box, 0, producer=4)
    found = box.statistics()
    assert (found.pushed, found.depth, found.free) == (1, 0, 4)
    assert (found.drops.no_receiver, found.drops.total) == (1, 1)
    assert {each.producer: each.drops.no_receiver for each in found.producers} == {4: 1}
    box.listen()
    put(box, 1, producer=4)
    assert _sequences(box) == [1]
    found = box.statistics()
    assert found.popped == found.pushed - found.depth - found.drops.total


def test_the_table_has_a_count_for_each_drop_reason():
    assert len(fields(DropCounts)) == NUM_REASONS
    assert fields(DropCounts)[NO_RECEIVER].name == "no_receiver"


def test_a_slot_is_free_only_when_all_its_readers_have_released(make_each, make_peer, put):
    box = make_each(slots=1)
    box.listen()
    peer = make_peer(box)
    peer.tell("box.listen()")
    put(box, 1)
    lease = box.try_receive()
    peer.tell("lease = box.try_receive()")
    lease.release()
    with pytest.raises(MailboxFull, match=f"slot 0 borrowed, producer 0 in pid {peer.pid}"):
        box.loan((4,), timeout_secs=0.05)
    peer.tell("lease.release()")
    assert box.try_loan((4,)) is not None


def test_messages_for_a_dead_receiver_hold_no_slot(make_each, make_peer, put):
    box = make_each(slots=1)
    box.listen()
    peer = make_peer(box)
    peer.tell("box.listen()")
    put(box, 1)
    assert _sequences(box) == [1]
    peer.kill()
    put(box, 2)
    assert _sequences(box) == [2]


def test_a_slow_listener_loses_the_oldest_messages_that_no_one_has_on_lease(make_each, make_peer, put):
    box = make_each(slots=2, policy="drop_oldest")
    box.listen()
    peer = make_peer(box)
    peer.tell("box.listen()")
    put(box, 0)
    lease = box.try_receive()
    for value in range(1, 4):
        put(box, value)
    assert (lease.array == 0.0).all()
    lease.release()
    assert peer.ask("[box.try_receive().meta.sequence for _ in range(2)]") == [0, 3]
    assert box.statistics().drops.oldest == 2


def test_passing_over_is_for_oneself_alone(make_each, make_peer, put):
    box = make_each()
    box.listen()
    peer = make_peer(box)
    peer.tell("box.listen()")
    for value in range(3):
        put(box, value)
    with box.try_receive(newest=True) as lease:
        assert lease.meta.sequence == 2
    assert _sequences(box) == []
    assert peer.ask("[box.try_receive().meta.sequence for _ in range(3)]") == [0, 1, 2]


def test_a_participant_that_stopped_listening_holds_no_slot(make_each, make_peer, put):
    box = make_each(slots=1)
    peer = make_peer(box)
    peer.tell("box.listen()")
    put(box, 1)
    peer.tell("box.close()")
    put(box, 2)
    assert box.statistics().free == 1
