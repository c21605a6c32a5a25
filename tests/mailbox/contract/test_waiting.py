import asyncio
import signal
import threading

import pytest

from sage.mailbox import MailboxClosed, MailboxEmpty
from sage.mailbox.local.waiting import POLL_SECS


class Interrupted(Exception):
    pass


@pytest.fixture
def interrupt():
    """Calls a function; a signal whose handler raises, as for Ctrl-C, comes 50 ms after its begin."""

    def raise_it(*_):
        raise Interrupted

    before = signal.signal(signal.SIGALRM, raise_it)

    def interrupted(call):
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        call()

    yield interrupted
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    signal.signal(signal.SIGALRM, before)


def _join(thread):
    thread.join(30.0)
    assert not thread.is_alive()


def test_a_pop_ends_with_its_timeout_and_nothing(make_ring):
    reader = make_ring().subscribe()
    batch = reader.pop_many(5, timeout_secs=0.01)
    assert (len(batch), batch.lost) == (0, 0)


def test_a_waiting_reader_is_woken_by_a_push(make_ring, records):
    ring = make_ring()
    reader, got = ring.subscribe(), []
    thread = threading.Thread(target=lambda: got.append(len(reader.pop_many(5, timeout_secs=30.0))))
    thread.start()
    ring.push(records(0, 1))
    _join(thread)
    assert got == [1]


def test_a_blocked_loan_in_the_same_process_returns_after_a_release(make_focus, publish):
    box = make_focus(slots=1, policy="block")
    publish(box, 1)
    lease, got = box.try_receive(), []
    thread = threading.Thread(target=lambda: got.append(box.loan((4,), timeout_secs=30.0)))
    thread.start()
    lease.release()
    _join(thread)
    assert len(got) == 1


def test_a_blocked_loan_returns_when_the_last_view_ends(make_focus, publish):
    box = make_focus(slots=1, policy="block")
    publish(box, 1)
    lease, got = box.try_receive(), []
    view = lease.array
    lease.release()
    thread = threading.Thread(target=lambda: got.append(box.loan((4,), timeout_secs=30.0)))
    thread.start()
    del view
    _join(thread)
    assert len(got) == 1


def test_other_threads_run_while_one_waits(make_focus, publish):
    box, got, others = make_focus(), [], threading.Event()
    thread = threading.Thread(target=lambda: got.append(box.receive(timeout_secs=30.0)))
    thread.start()
    worker = threading.Thread(target=others.set)
    worker.start()
    assert others.wait(30.0)
    worker.join(30.0)
    publish(box, 4)
    _join(thread)
    assert got[0].meta.sequence == 4


def test_a_busy_thread_beside_it_does_not_stop_delivery(make_focus, publish):
    box, is_done = make_focus(), threading.Event()

    def spin():
        while not is_done.is_set():
            pass

    hog = threading.Thread(target=spin)
    hog.start()
    try:
        for value in range(20):
            publisher = threading.Thread(target=publish, args=(box, value))
            publisher.start()
            with box.receive(timeout_secs=30.0) as lease:
                assert lease.meta.sequence == value
            publisher.join(30.0)
    finally:
        is_done.set()
        _join(hog)


def test_an_interrupt_ends_a_waiting_receive(make_focus, interrupt):
    box = make_focus()
    with pytest.raises(Interrupted):
        interrupt(lambda: box.receive(timeout_secs=30.0))
    with pytest.raises(MailboxEmpty):
        box.receive(timeout_secs=0.0)


def test_an_interrupt_ends_a_waiting_pop(make_ring, records, interrupt):
    ring = make_ring()
    reader = ring.subscribe()
    with pytest.raises(Interrupted):
        interrupt(lambda: reader.pop_many(1, timeout_secs=30.0))
    ring.push(records(0, 1))
    assert len(reader.pop_many(1)) == 1


def test_closing_wakes_a_waiting_reader(make_ring, make_focus):
    ring, box, raised = make_ring(), make_focus(), []
    reader = ring.subscribe()

    def wait(call):
        with pytest.raises(MailboxClosed) as caught:
            call()
        raised.append(caught)

    calls = (lambda: reader.pop_many(1, timeout_secs=30.0), lambda: box.receive(timeout_secs=30.0))
    threads = [threading.Thread(target=wait, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    ring.close()
    box.close()
    for thread in threads:
        _join(thread)
    assert len(raised) == 2


def _numbers_by_event_loop(fileno, take, num):
    async def collect():
        loop, got, is_done = asyncio.get_running_loop(), [], asyncio.Event()

        def on_ready():
            got.extend(take())
            if len(got) >= num:
                is_done.set()

        loop.add_reader(fileno, on_ready)
        try:
            await asyncio.wait_for(is_done.wait(), 30.0)
        finally:
            loop.remove_reader(fileno)
        return got

    return asyncio.run(collect())


def test_an_event_loop_is_woken_by_records(make_ring, records):
    ring = make_ring(capacity=64)
    reader = ring.subscribe()
    ring.push(records(0, 1))
    fileno = reader.fileno()
    thread = threading.Thread(target=lambda: [ring.push(record) for record in records(1, 30)])
    thread.start()
    got = _numbers_by_event_loop(fileno, lambda: list(reader.try_pop_many(4).records["sequence"]), 31)
    _join(thread)
    assert got == list(range(31))


def test_an_event_loop_is_woken_by_tensors(make_focus, publish, take):
    box = make_focus(slots=32)
    publish(box, 0)
    thread = threading.Thread(target=lambda: [publish(box, value) for value in range(1, 20)])
    fileno = box.fileno()
    thread.start()
    got = _numbers_by_event_loop(fileno, lambda: take(box, limit=1), 20)
    _join(thread)
    assert got == list(range(20))


def test_two_event_loops_on_one_ring_do_not_take_each_others_signal(make_ring, records):
    ring = make_ring()
    one, two = ring.subscribe(), ring.subscribe()
    descriptors = one.fileno(), two.fileno()
    ring.push(records(0, 1))
    assert len(one.pop_many(9)) == 1
    assert _numbers_by_event_loop(
        descriptors[1], lambda: list(two.try_pop_many(4).records["sequence"]), 1
    ) == [0]


def test_a_waiter_asks_rarely_enough_to_be_idle():
    assert POLL_SECS >= 0.02
