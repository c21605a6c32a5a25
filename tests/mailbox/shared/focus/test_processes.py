"""Focus pools between processes: visibility, delivery, and the effect of a process that ends early."""

import os
import subprocess
import sys

import pytest

from sage.mailbox import LeaseExpired, MailboxClosed, MailboxError, MailboxFull, RealClock
from sage.mailbox.shared import SharedFocus, SharedPeripheral, peek_focus_statistics
from sage.mailbox.shared.focus import layout as layout
from sage.mailbox.shared.memory.participants import MAX_PARTICIPANTS
from sage.mailbox.shared.memory.segment import VERSION

PUBLISH = "box.loan((4,), producer={0}).publish(stamp_ns={1}, sequence={1})"


def test_a_reader_in_another_process_sees_the_same_memory(make_box, make_peer):
    box = make_box(slot_bytes=4_000_000)
    peer = make_peer(box)
    peer.tell("loan = box.loan((1_000_000,)); window = loan.array[-1:]; loan.publish(stamp_ns=1, sequence=2)")
    with box.receive(timeout_secs=30.0) as lease:
        assert (lease.meta.stamp_ns, lease.meta.sequence) == (1, 2)
        peer.tell("window[:] = 1234.5")  # only the same pages can show it
        assert lease.array[-1] == lease.tensor[-1] == 1234.5
    found = box.statistics()
    assert (found.bytes_copied, found.bytes_referenced) == (0, 4_000_000)


def test_a_process_started_apart_gets_the_tensor_too(make_box, put, loan_all):
    box = make_box()
    put(box, 7)
    code = (
        "import sys; from sage.mailbox import RealClock; from sage.mailbox.shared import SharedFocus\n"
        f"box = SharedFocus.attach({box.name!r}, clock=RealClock(), engine='plain')\n"
        "with box.receive(timeout_secs=30.0) as lease: print(lease.array.sum(), 'torch' in sys.modules)\n"
        "assert box.send(7.0 * __import__('numpy').ones(3), stamp_ns=0, sequence=8)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, cwd="/"
    )
    assert done.stdout == "28.0 False\n"
    with box.receive(timeout_secs=30.0) as lease:  # its sender has ended
        assert lease.array.tolist() == [7.0, 7.0, 7.0]
    assert box.reap() == 1
    loan_all(box)


def test_a_blocked_receiver_is_woken_from_another_process(make_box, make_peer, put):
    box = make_box()
    peer = make_peer(box).start("box.receive(timeout_secs=30.0).array.tolist()")
    put(box, 3)
    assert peer.result() == [3.0] * 4


def test_a_blocked_loan_is_woken_from_another_process(make_box, make_peer, put):
    box = make_box(slots=1)
    put(box, 1)
    peer = make_peer(box).start("box.loan((4,), timeout_secs=30.0).discard()")
    box.receive(timeout_secs=30.0).release()
    peer.result()


def test_a_noisy_process_has_its_quota_and_the_others_have_the_rest(make_box, make_peer):
    box = make_box(slots=4, quota=2, policy="drop_oldest")
    noisy, quiet = make_peer(box), make_peer(box)
    quiet.tell(PUBLISH.format(1, 100))
    noisy.tell(f"for n in range(50): {PUBLISH.format(2, 'n')}")
    quiet.tell(PUBLISH.format(1, 101))
    got = {1: [], 2: []}
    while (lease := box.try_receive()) is not None:
        with lease:
            got[lease.meta.producer].append(lease.meta.sequence)
    assert got == {1: [100, 101], 2: [48, 49]}


def test_two_processes_that_always_have_something_get_equal_shares(make_box, make_peer):
    box = make_box(slots=8, quota=4)
    peers = [make_peer(box) for _ in range(2)]
    for producer, peer in enumerate(peers):
        peer.start(
            f"for n in range(120): box.loan((4,), producer={producer}, timeout_secs=30.0).publish(stamp_ns=n,"
            " sequence=n)"
        )
    counts = [0, 0]
    for _ in range(100):
        while sum(each.held >= 2 for each in box.statistics().producers) < 2:
            os.sched_yield()
        with box.receive(timeout_secs=30.0) as lease:
            counts[lease.meta.producer] += 1
    assert counts == [pytest.approx(50, abs=5)] * 2


def test_a_full_pool_raises_with_the_process_that_holds_the_slots(make_box, make_peer, put):
    box = make_box(slots=2)
    for value in range(2):
        put(box, value, producer=7)
    peer = make_peer(box)
    peer.tell("lease = box.try_receive(); view = box.try_receive().array")
    with pytest.raises(MailboxFull, match=f"slot 0 borrowed, producer 7 in pid {peer.pid}; slot 1 borrowed"):
        box.loan((4,), timeout_secs=0.05)


def test_an_expired_message_is_not_delivered(make_box, make_peer):
    box = make_box(ttl_ns=10**12)
    make_peer(box).tell("box.loan((4,)).publish(stamp_ns=0, sequence=0, ttl_ns=1)")
    assert box.try_receive() is None
    assert box.statistics().drops.expired == 1


def test_entries_are_reused_after_a_participant_leaves(make_box, put, loan_all):
    box = make_box()
    put(box, 1)
    for _ in range(MAX_PARTICIPANTS + 5):
        with SharedFocus.attach(box.name, clock=RealClock(), engine="plain") as other:
            assert other.statistics().depth == 1
    guests = [
        SharedFocus.attach(box.name, clock=RealClock(), engine="plain") for _ in range(MAX_PARTICIPANTS - 1)
    ]
    with pytest.raises(MailboxError, match=f"64 participants use it: close some .*pid {os.getpid()} x64"):
        SharedFocus.attach(box.name, clock=RealClock(), engine="plain")
    lease = guests[-1].try_receive()
    guests[-1].close()
    assert (lease.array == 1.0).all()
    lease.release()
    for guest in guests:
        guest.close()
    loan_all(box)


def test_more_producers_than_accounts_are_counted_all_the_same(make_box, put):
    box = make_box(policy="drop_oldest")
    num = layout.NUM_ACCOUNTS + 40
    for producer in range(num):
        put(box, producer, producer=producer)
    found = box.statistics()
    assert (found.pushed, found.drops.oldest, found.depth) == (num, num - 4, 4)
    assert len(found.producers) == layout.NUM_ACCOUNTS


def test_an_observer_reads_the_counts_without_joining(make_box, put):
    box = make_box()
    put(box, 1)
    before = box._control.participants.identities()
    assert peek_focus_statistics(box.name) == box.statistics()
    assert box._control.participants.identities() == before


def test_closing_for_all_ends_it_in_every_process(make_box, make_peer):
    box = make_box()
    peer = make_peer(box).start("box.receive(timeout_secs=30.0)")
    late = box.loan((4,))
    box.close()
    with pytest.raises(MailboxClosed):
        peer.result()
    with pytest.raises(MailboxClosed):
        late.publish(stamp_ns=0, sequence=0)


def test_closing_ones_own_part_leaves_the_others_alone(make_box, make_peer):
    box = make_box()
    peer = make_peer(box)
    peer.tell(PUBLISH.format(1, 1))
    peer.tell("box.close()")
    with pytest.raises(MailboxClosed):
        peer.tell("box.try_receive()")
    with box.receive(timeout_secs=30.0) as lease:
        assert lease.meta.sequence == 1


def test_a_forked_child_joins_on_first_use_and_cannot_use_its_parents_handles(make_box, put, in_fork):
    box = make_box()
    put(box, 1)
    loan, lease = box.loan((4,)), box.receive(timeout_secs=30.0)

    def work():
        for call in (
            lambda: loan.array,
            lambda: loan.publish(stamp_ns=0, sequence=0),
            lambda: lease.array,
            lease.release,
        ):
            with pytest.raises(LeaseExpired, match="forked"):
                call()
        with loan, lease:
            pass
        put(box, 2)
        mine = box.loan((4,))
        box.close()
        mine.discard()

    assert in_fork(work) == 0
    assert (lease.array == 1.0).all()
    lease.release()
    assert loan.publish(stamp_ns=0, sequence=3)
    assert [box.receive(timeout_secs=30.0).meta.sequence for _ in range(2)] == [2, 3]
    assert box.reap() == 0  # it had left


def test_other_kinds_versions_and_users_are_refused(make_box):
    box = make_box()
    with pytest.raises(MailboxError, match="another kind"):
        SharedPeripheral.attach(box.name, clock=RealClock())
    box._segment.words[VERSION] += 1
    with pytest.raises(MailboxError, match="one version of sage on both sides"):
        SharedFocus.attach(box.name, clock=RealClock())
    box._segment.words[VERSION] -= 1
    with pytest.raises(MailboxError, match="a mailbox of this name exists"):
        SharedFocus.create(box.name, clock=RealClock(), slot_bytes=64)
    with pytest.raises(MailboxError, match=r"needs .* MiB"):
        SharedFocus.create(f"{box.name}.huge", clock=RealClock(), slot_bytes=1 << 42)
    with pytest.raises(ValueError, match="slots is 257"):
        SharedFocus.create(f"{box.name}.many", clock=RealClock(), slots=257, slot_bytes=64)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_is_refused(make_box, in_fork):
    box = make_box()

    def work():
        os.setuid(65534)
        with pytest.raises(MailboxError, match="another user"):
            SharedFocus.attach(box.name, clock=RealClock(), engine="plain")

    assert in_fork(work) == 0


def test_a_rule_that_raises_leaves_the_lock_open(make_box, loan_all):
    box = make_box()
    with pytest.raises(ZeroDivisionError):
        box._control.run(lambda words: 1 // 0)
    loan_all(box)
