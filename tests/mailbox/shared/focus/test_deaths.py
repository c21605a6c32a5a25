"""What a process costs the others that ends badly, at any store inside the lock: its own loans and leases
only.
"""

import os
import signal
import threading

import pytest

from sage.mailbox import MailboxError, MailboxFull, RealClock
from sage.mailbox.shared import SharedFocus

PUBLISH = "box.loan((4,), producer={0}).publish(stamp_ns={1}, sequence={1})"


@pytest.mark.parametrize(
    "line", ["held = [box.loan((4,)) for _ in range(4)]", "held = box.loan((4,)).array", "pass"]
)
def test_a_killed_writers_loans_come_back(make_box, make_peer, line, loan_all):
    box = make_box()
    peer = make_peer(box)
    peer.tell(line)
    peer.kill()
    loan_all(box)
    assert box.statistics().orphans in (0, 1, 4)


def test_a_killed_readers_leases_come_back_and_are_not_delivered_again(make_box, make_peer, put):
    box = make_box()
    for value in range(4):
        put(box, value)
    peer = make_peer(box)
    assert (
        peer.ask("leases = [box.try_receive() for _ in range(2)]; views = [lease.array for lease in leases]")
        is None
    )
    peer.kill()
    assert box.reap() == 1
    assert [box.try_receive().meta.sequence for _ in range(2)] == [2, 3]
    assert box.try_receive() is None
    assert box.statistics().orphans == 4  # two of the dead, and two that this line dropped


def test_a_blocked_loan_gets_the_slot_of_a_killed_process(make_box, make_peer):
    box, got = make_box(slots=1), []
    peer = make_peer(box)
    peer.tell("loan = box.loan((4,))")
    thread = threading.Thread(target=lambda: got.append(box.loan((4,), timeout_secs=30.0)))
    thread.start()
    peer.kill()
    thread.join(30.0)
    assert len(got) == 1


class Fatal:
    """The table; this process ends at the `last`-th store."""

    def __init__(self, words, last):
        self.words, self.left = words, last

    def __getitem__(self, at):
        return self.words[at]

    def __setitem__(self, at, value):
        self.words[at] = value
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _release_keeping_a_view(box):
    lease = box.try_receive()
    view = lease.array[1:]
    lease.release()
    del view
    box.statistics()


OPERATIONS = {
    "loan": lambda box: box.try_loan((4,)),
    "discard": lambda box: box.loan((4,)).discard(),
    "publish": lambda box: box.loan((4,)).publish(stamp_ns=9, sequence=9),
    "receive": lambda box: box.try_receive(),
    "release": lambda box: box.try_receive().release(),
    "newest": lambda box: box.try_receive(newest=True),
    "view": _release_keeping_a_view,
    "full": lambda box: [box.try_loan((4,)) for _ in range(4)],
    "leave": lambda box: box.detach(),
    "end": lambda box: box._exchange.close(for_all=True),
}


@pytest.mark.parametrize("receivers", ["one", "each"])
@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_a_death_at_any_store_inside_the_lock_leaves_a_usable_pool(
    operation, receivers, put, loan_all, in_fork
):
    status, last = -signal.SIGKILL, 0
    while status == -signal.SIGKILL:
        last += 1
        name = f"test.{os.getpid()}.fatal"
        box = SharedFocus.create(name, clock=RealClock(), slot_bytes=64, engine="plain", receivers=receivers)
        box.unlink()
        box.listen()

        def work(box=box, last=last):
            box.listen()  # as a participant of its own
            for value in range(3):
                put(box, value)
            control = box._control
            control.words = Fatal(control.words, last)
            OPERATIONS[operation](box)

        status = in_fork(work)
        box.reap()
        received = []
        while operation != "end" and (lease := box.try_receive()) is not None:
            with lease:
                received.append(lease.meta.sequence)
        assert received == sorted(set(received))
        if operation != "end":
            loan_all(box)
        assert box.statistics().free == box.slots
        box.close()
    assert status == 0
    assert last > 3


def test_a_pool_whose_processes_were_all_killed_is_usable(make_box, make_peer, put, loan_all):
    box = make_box()
    peers = [make_peer(box) for _ in range(3)]
    peers[0].tell(PUBLISH.format(1, 1))
    peers[1].tell("loan = box.loan((4,))")
    peers[2].tell("lease = box.try_receive()")
    for peer in peers:
        peer.kill()
    put(box, 5)
    assert box.reap() == 3
    with box.receive(timeout_secs=30.0) as lease:
        assert lease.meta.sequence == 5
    loan_all(box)


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


@pytest.mark.parametrize("end", ["publish", "discard", "release", "drop", "unview"])
def test_a_slot_that_could_not_be_ended_is_ended_later(make_box, make_peer, put, loan_all, monkeypatch, end):
    """A process that was stopped inside an operation keeps the table's lock for longer than its limit."""
    monkeypatch.setattr("sage.mailbox.shared.focus.control.LOCK_TIMEOUT_SECS", 0.05)
    box = make_box(slots=2)
    peer = make_peer(box)
    held = []
    for sequence in range(2):
        if end in ("publish", "discard"):
            held.append(box.loan((4,)))
        else:
            put(box, sequence)
            held.append(box.try_receive())
    views = [handle.array for handle in held] if end == "unview" else []
    if end == "unview":
        for handle in held:
            handle.release()
    peer.tell("box._exchange.control.participants.lock.acquire(5.0)")
    for handle in held if end in ("publish", "discard", "release") else ():
        stamps = {"stamp_ns": 0, "sequence": 0} if end == "publish" else {}
        with pytest.raises(MailboxError, match="SIGCONT"):
            getattr(handle, end)(**stamps)
    handle = None
    held.clear()
    views.clear()
    with pytest.raises(MailboxError, match="SIGCONT"):
        box.try_loan((4,))
    peer.tell("box._exchange.control.participants.lock.release()")
    loan_all(box)


def test_a_stamp_of_another_type_costs_no_slot(make_box, loan_all):
    box = make_box(slots=2)
    for _ in range(2):
        with pytest.raises(TypeError):
            box.loan((4,)).publish(stamp_ns=None, sequence=0)
    loan_all(box)


def test_a_loan_taken_back_from_the_living_is_stale_and_its_memory_stays_theirs(
    make_box, make_peer, loan_all
):
    box = make_box(slots=1)
    peer = make_peer(box)
    peer.tell("loan = box.loan((4,), producer=3); array = loan.array")
    assert box.reclaim(3) == 1
    assert box.try_loan((4,)) is None  # it may still write there
    assert peer.ask("loan.publish(stamp_ns=0, sequence=0)") is False
    assert box.try_loan((4,)) is None
    peer.tell("del array; box.statistics()")
    loan_all(box)
    found = box.statistics()
    assert (found.orphans, found.drops.stale) == (1, 1)


def test_processes_killed_in_full_swing_cost_their_own_messages_only(make_box, make_peer, loan_all):
    box = make_box(slots=4)
    last = {0: -1, 1: -1}
    for round_number in range(10):
        peers = [make_peer(box) for _ in range(3)]
        for producer, peer in enumerate(peers[:2]):
            first = (round_number + 1) * 1_000_000
            peer.start(
                f"for n in range({first}, 10**9): box.loan((4,), producer={producer}).publish(stamp_ns=n,"
                " sequence=n)"
            )
        peers[2].start("while True: box.receive(timeout_secs=30.0).release()")
        goal = box.statistics().pushed + 37 * (round_number + 1)
        while box.statistics().pushed < goal:
            lease = box.try_receive()
            if lease is not None:
                with lease:
                    assert lease.meta.sequence > last[lease.meta.producer], "delivered twice, or out of order"
                    last[lease.meta.producer] = lease.meta.sequence
        for peer in peers:
            peer.kill()
    while (lease := box.try_receive()) is not None:
        lease.release()
    loan_all(box)
    assert box.statistics().free == 4
