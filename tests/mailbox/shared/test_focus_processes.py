"""Focus pools that several processes share: who sees what, who gets what, and what a process costs that ends badly."""

import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from sage.mailbox import LeaseExpired, MailboxClosed, MailboxError, MailboxFull, RealClock
from sage.mailbox.shared import SharedFocus, SharedPeripheral, peek_focus_statistics
from sage.mailbox.shared import focus_layout as layout
from sage.mailbox.shared.participants import MAX_PARTICIPANTS
from sage.mailbox.shared.segment import VERSION

PUBLISH = "box.loan((4,), producer={0}).publish(stamp_ns={1}, sequence={1})"


def _publish(box, value, **options):
    with box.loan((4,), **options) as loan:
        loan.array[:] = value
        assert loan.publish(stamp_ns=value, sequence=value)


def _loan_all(box):
    """Every slot serves again: nobody holds any."""
    loans = [box.loan((4,), timeout_secs=30.0) for _ in range(box.slots)]
    for loan in loans:
        loan.discard()


def test_a_reader_sees_what_the_writer_writes_meanwhile(make_box, make_peer):
    box = make_box(slot_bytes=4_000_000)
    peer = make_peer(box)
    peer.tell("loan = box.loan((1_000_000,)); window = loan.array[-1:]; loan.publish(stamp_ns=1, sequence=2)")
    with box.receive(timeout_secs=30.0) as lease:
        assert (lease.meta.stamp_ns, lease.meta.sequence) == (1, 2)
        peer.tell("window[:] = 1234.5")  # only the same pages can show it
        assert lease.array[-1] == lease.tensor[-1] == 1234.5
    found = box.statistics()
    assert (found.bytes_copied, found.bytes_referenced) == (0, 4_000_000)


def test_a_process_started_apart_gets_the_tensor_too(make_box):
    box = make_box()
    _publish(box, 7)
    code = (
        "import sys; from sage.mailbox import RealClock; from sage.mailbox.shared import SharedFocus\n"
        f"box = SharedFocus.attach({box.name!r}, clock=RealClock(), engine='plain')\n"
        "with box.receive(timeout_secs=30.0) as lease: print(lease.array.sum(), 'torch' in sys.modules)\n"
        "assert box.send(7.0 * __import__('numpy').ones(3), stamp_ns=0, sequence=8)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, cwd="/")
    assert done.stdout == "28.0 False\n"
    with box.receive(timeout_secs=30.0) as lease:  # its sender has ended
        assert lease.array.tolist() == [7.0, 7.0, 7.0]
    assert box.reap() == 1
    _loan_all(box)


def test_a_blocked_receiver_is_woken_from_another_process(make_box, make_peer):
    box = make_box()
    peer = make_peer(box).start("box.receive(timeout_secs=30.0).array.tolist()")
    _publish(box, 3)
    assert peer.result() == [3.0] * 4


def test_a_blocked_loan_is_woken_from_another_process(make_box, make_peer):
    box = make_box(slots=1)
    _publish(box, 1)
    peer = make_peer(box).start("box.loan((4,), timeout_secs=30.0).discard()")
    box.receive(timeout_secs=30.0).release()
    peer.result()


@pytest.mark.parametrize("line", ["kept = [box.loan((4,)) for _ in range(4)]", "kept = box.loan((4,)).array", "pass"])
def test_a_killed_writers_loans_come_back(make_box, make_peer, line):
    box = make_box()
    peer = make_peer(box)
    peer.tell(line)
    peer.kill()
    _loan_all(box)
    assert box.statistics().orphans in (0, 1, 4)


def test_a_killed_readers_leases_come_back_and_are_not_delivered_again(make_box, make_peer):
    box = make_box()
    for value in range(4):
        _publish(box, value)
    peer = make_peer(box)
    assert peer.ask("leases = [box.try_receive() for _ in range(2)]; views = [lease.array for lease in leases]") is None
    peer.kill()
    assert box.reap() == 1
    assert [box.try_receive().meta.sequence for _ in range(2)] == [2, 3]
    assert box.try_receive() is None
    assert box.statistics().orphans == 4  # two of the dead, and two that this line dropped


def test_who_waits_for_a_slot_of_a_process_that_is_killed_gets_it(make_box, make_peer):
    box, got = make_box(slots=1), []
    peer = make_peer(box)
    peer.tell("loan = box.loan((4,))")
    thread = threading.Thread(target=lambda: got.append(box.loan((4,), timeout_secs=30.0)))
    thread.start()
    peer.kill()
    thread.join(30.0)
    assert len(got) == 1


class Fatal:
    """The table, whose `last`-th store is the last thing that this process does."""

    def __init__(self, words, last):
        self.words, self.left = words, last

    def __getitem__(self, at):
        return self.words[at]

    def __setitem__(self, at, value):
        self.words[at] = value
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


OPERATIONS = {
    "loan": lambda box: box.try_loan((4,)),
    "publish": lambda box: box.loan((4,)).publish(stamp_ns=9, sequence=9),
    "receive": lambda box: box.try_receive(),
    "release": lambda box: box.try_receive().release(),
    "newest": lambda box: box.try_receive(newest=True),
    "full": lambda box: [box.try_loan((4,)) for _ in range(4)],
}


@pytest.mark.parametrize("receivers", ["one", "each"])
@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_whoever_dies_at_any_store_inside_the_lock_leaves_a_pool_that_works(operation, receivers):
    last = 0
    while True:
        last += 1
        box = SharedFocus.create(
            f"test.{os.getpid()}.fatal",
            clock=RealClock(),
            slot_bytes=64,
            engine="plain",
            policy="drop_oldest",
            receivers=receivers,
        )
        box.unlink()
        box.listen()
        child = os.fork()
        if child == 0:
            box.listen()  # a participant of its own
            for value in range(3):
                _publish(box, value)
            box._control.rules.table = Fatal(box._control.rules.table, last)
            OPERATIONS[operation](box)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        box.reap()
        received = []
        while (lease := box.try_receive()) is not None:
            with lease:
                received.append(lease.meta.sequence)
        assert received == sorted(set(received))
        _loan_all(box)
        assert box.statistics().free == box.slots
        box.close()
        if status == 0:
            break
        assert status == -signal.SIGKILL
    assert last > 5


def test_when_everybody_is_killed_the_next_one_finds_a_whole_pool(make_box, make_peer):
    box = make_box()
    peers = [make_peer(box) for _ in range(3)]
    peers[0].tell(PUBLISH.format(1, 1))
    peers[1].tell("loan = box.loan((4,))")
    peers[2].tell("lease = box.try_receive()")
    for peer in peers:
        peer.kill()
    _publish(box, 5)
    assert box.reap() == 3
    with box.receive(timeout_secs=30.0) as lease:
        assert lease.meta.sequence == 5
    _loan_all(box)


def test_a_stopped_process_is_not_robbed(make_box, make_peer):
    box = make_box(slots=1)
    peer = make_peer(box)
    peer.tell("loan = box.loan((4,)); loan.array[:] = 6.0")
    os.kill(peer.pid, signal.SIGSTOP)
    assert box.reap() == 0
    with pytest.raises(MailboxFull, match=f"slot 0 loaned, producer 0 in pid {peer.pid}"):
        box.loan((4,), timeout_secs=0.05)
    os.kill(peer.pid, signal.SIGCONT)
    peer.tell("loan.publish(stamp_ns=0, sequence=0)")
    with box.receive(timeout_secs=30.0) as lease:
        assert (lease.array == 6.0).all()


def test_a_loan_taken_back_from_the_living_is_stale_and_its_memory_stays_theirs(make_box, make_peer):
    box = make_box(slots=1)
    peer = make_peer(box)
    peer.tell("loan = box.loan((4,), producer=3); array = loan.array")
    assert box.reclaim(3) == 1
    assert box.try_loan((4,)) is None  # it may still write there
    assert peer.ask("loan.publish(stamp_ns=0, sequence=0)") is False
    assert box.try_loan((4,)) is None
    peer.tell("del array; box.statistics()")
    _loan_all(box)
    found = box.statistics()
    assert (found.orphans, found.drops.stale) == (1, 1)


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
        peer.start(f"for n in range(120): box.loan((4,), producer={producer}, timeout_secs=30.0).publish(stamp_ns=n, sequence=n)")
    counts = [0, 0]
    for _ in range(100):
        while min([p.held for p in box.statistics().producers] + [0] * (len(box.statistics().producers) < 2)) < 2:
            os.sched_yield()
        with box.receive(timeout_secs=30.0) as lease:
            counts[lease.meta.producer] += 1
    assert counts == [pytest.approx(50, abs=5)] * 2


def test_who_is_full_names_the_process_that_holds(make_box, make_peer):
    box = make_box(slots=2)
    for value in range(2):
        _publish(box, value, producer=7)
    peer = make_peer(box)
    peer.tell("lease = box.try_receive(); view = box.try_receive().array")
    with pytest.raises(MailboxFull, match=f"slot 0 borrowed, producer 7 in pid {peer.pid}; slot 1 borrowed"):
        box.loan((4,), timeout_secs=0.05)


def test_what_has_expired_is_not_delivered_to_anybody(make_box, make_peer):
    box = make_box(ttl_ns=10**12)
    make_peer(box).tell("box.loan((4,)).publish(stamp_ns=0, sequence=0, ttl_ns=1)")
    assert box.try_receive() is None
    assert box.statistics().drops.expired == 1


def test_entries_of_those_who_leave_are_used_again(make_box):
    box = make_box()
    _publish(box, 1)
    for _ in range(MAX_PARTICIPANTS + 5):
        with SharedFocus.attach(box.name, clock=RealClock(), engine="plain") as other:
            assert other.statistics().depth == 1
    guests = [SharedFocus.attach(box.name, clock=RealClock(), engine="plain") for _ in range(MAX_PARTICIPANTS - 1)]
    with pytest.raises(MailboxError, match=f"64 participants hold it: close some .*pid {os.getpid()} x64"):
        SharedFocus.attach(box.name, clock=RealClock(), engine="plain")
    lease = guests[-1].try_receive()
    guests[-1].close()
    assert (lease.array == 1.0).all()
    lease.release()
    for guest in guests:
        guest.close()
    _loan_all(box)


def test_more_producers_than_accounts_are_counted_all_the_same(make_box):
    box = make_box(policy="drop_oldest")
    num = layout.NUM_ACCOUNTS + 40
    for producer in range(num):
        _publish(box, producer, producer=producer)
    found = box.statistics()
    assert (found.pushed, found.drops.oldest, found.depth) == (num, num - 4, 4)
    assert len(found.producers) == layout.NUM_ACCOUNTS


def test_an_observer_reads_the_counts_and_takes_no_part(make_box):
    box = make_box()
    _publish(box, 1)
    before = box._control.participants.identities()
    assert peek_focus_statistics(box.name) == box.statistics()
    assert box._control.participants.identities() == before


def test_closing_for_all_ends_it_in_every_process(make_box, make_peer):
    box = make_box()
    peer = make_peer(box).start("box.receive(timeout_secs=30.0)")
    _publish_late = box.loan((4,))
    box.close(for_all=True)
    with pytest.raises(MailboxClosed):
        peer.result()
    with pytest.raises(MailboxClosed):
        _publish_late.publish(stamp_ns=0, sequence=0)


def test_closing_ones_own_part_leaves_the_others_alone(make_box, make_peer):
    box = make_box()
    peer = make_peer(box)
    peer.tell(PUBLISH.format(1, 1))
    peer.tell("box.close()")
    with pytest.raises(MailboxClosed):
        peer.tell("box.try_receive()")
    with box.receive(timeout_secs=30.0) as lease:
        assert lease.meta.sequence == 1


def test_a_forked_child_takes_part_by_itself_and_has_no_handles_of_its_parent(make_box):
    box = make_box()
    _publish(box, 1)
    loan, lease = box.loan((4,)), box.receive(timeout_secs=30.0)
    child = os.fork()
    if child == 0:
        num_raised = 0
        for call in (lambda: loan.array, lambda: loan.publish(stamp_ns=0, sequence=0), lambda: lease.array, lease.release):
            with pytest.raises(LeaseExpired, match="forked"):
                call()
            num_raised += 1
        with loan, lease:
            pass
        _publish(box, 2)
        mine = box.loan((4,))
        box.close()
        mine.discard()
        os._exit(num_raised)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4
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
def test_another_user_is_refused(make_box):
    box = make_box()
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        try:
            SharedFocus.attach(box.name, clock=RealClock(), engine="plain")
        except MailboxError as error:
            os._exit(7 if "another user" in str(error) else 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_a_rule_that_raises_leaves_the_lock_open(make_box):
    box = make_box()
    with pytest.raises(ZeroDivisionError):
        box._control.run(lambda words: 1 // 0)
    _loan_all(box)
    assert np.isfinite(box.statistics().free)
