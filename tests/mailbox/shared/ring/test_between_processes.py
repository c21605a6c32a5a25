"""Rings that several processes share: started apart (as spawn does) and forked."""

import asyncio
import itertools
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

import numpy as np
import pytest

from sage.mailbox import MailboxClosed, MailboxError, RealClock
from sage.mailbox.shared import SharedPeripheral, peek_statistics
from sage.mailbox.shared.memory.engine_choice import why_plain
from sage.mailbox.shared.memory.participants import TABLE_OFFSET
from sage.mailbox.shared.memory.segment import FOLDER, PREFIX

WORKER = Path(__file__).with_name("ring_worker.py")
ENGINES = ["plain"] if why_plain() else ["numba", "plain"]
_numbers = itertools.count()


class Process:
    """A worker process: attached once `ready` returns, starts at `go`, reports in `result`."""

    def __init__(self, ring, subscribe=None, *, is_apart=False, **options):
        """is_apart: started as a program of its own, which costs a second of imports; else forked."""
        job = {"name": ring.name, "options": options} | (
            {} if subscribe is None else {"subscribe": subscribe}
        )
        child_in, go = os.pipe()
        reports, child_out = os.pipe()
        if is_apart:
            command = [sys.executable, str(WORKER), json.dumps(job)]
            self.pid = subprocess.Popen(command, stdin=child_in, stdout=child_out, cwd="/").pid
        else:
            self.pid = os.fork()
            if self.pid == 0:
                _work_and_exit(job, child_in, child_out)
        os.close(child_in)
        os.close(child_out)
        self._go, self._reports = os.fdopen(go, "w"), os.fdopen(reports)
        self._is_ready = False

    def ready(self):
        if not self._is_ready:
            assert self._reports.readline() == "ready\n"
        self._is_ready = True
        return self

    def go(self):
        self.ready()
        self._go.write("\n")
        self._go.close()
        return self

    def result(self):
        report = self._reports.read()
        self._reports.close()
        assert os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]) == 0
        return json.loads(report)

    def signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        self.signal(signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self._reports.close()


def _work_and_exit(job, child_in, child_out):
    try:
        worker = runpy.run_path(str(WORKER))
        worker["work"](job, os.fdopen(child_in), os.fdopen(child_out, "w"))
    except BaseException:
        traceback.print_exc()
        os._exit(99)
    os._exit(0)


@pytest.fixture(params=ENGINES)
def create(request):
    rings = []

    def make(**options):
        name = f"test.{os.getpid()}.p{next(_numbers)}"
        rings.append(
            SharedPeripheral.create(
                name, **{"engine": request.param, "clock": RealClock(), "capacity": 64, **options}
            )
        )
        return rings[-1]

    yield make
    for ring in rings:
        ring.unlink()
        ring.close()
        assert not (FOLDER / f"{PREFIX}{ring.name}").exists()


def in_fork(work):
    """Run `work` in a forked child: its exit status, negative for a signal; 99 for an exception."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(99)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def check_many_to_many(ring, num_each):
    readers = [
        Process(ring, {"start": "oldest"}, is_apart=apart, num=3 * num_each) for apart in (True, False)
    ]
    writers = [
        Process(ring, is_apart=batch == 1, producer=p, num=num_each, batch=batch)
        for p, batch in ((1, 1), (2, 16), (3, 64))
    ]
    for process in (*readers, *writers):
        process.ready()
    for process in (*readers, *writers):
        process.go()
    assert [writer.result()["pushed"] for writer in writers] == [num_each] * 3
    one, two = (reader.result() for reader in readers)
    assert (one["seen"], one["lost"]) == (3 * num_each, 0)
    assert one["order"] == two["order"]
    assert peek_statistics(ring.name).pushed == 3 * num_each


def test_many_to_many_lose_nothing_tear_nothing_and_have_one_order(create):
    ring = create(mode="lossless", capacity=256)
    check_many_to_many(ring, 33_400 if ring.engine == "numba" else 300)


@pytest.mark.slow
@pytest.mark.skipif(bool(why_plain()), reason="numba is not installed: pip install 'sage-runtime[fast]'")
def test_a_million_records_many_to_many():
    with SharedPeripheral.create(f"test.{os.getpid()}.million", clock=RealClock(), mode="lossless") as ring:
        check_many_to_many(ring, 333_400)
        ring.unlink()


def test_a_lossy_ring_counts_the_losses_of_each_reader_exactly(create):
    ring = create(capacity=16)
    num_each = 10_000 if ring.engine == "numba" else 400
    readers = [Process(ring, {}, num=2 * num_each, max_records=size) for size in (3, 64)]
    writers = [Process(ring, producer=p, num=num_each, batch=batch) for p, batch in ((1, 1), (2, 5))]
    for process in (*readers, *writers):
        process.ready()
    for process in (*readers, *writers):
        process.go()
    for writer in writers:
        writer.result()
    for reader in readers:
        found = reader.result()
        assert found["seen"] + found["lost"] == 2 * num_each


def test_a_group_of_processes_gets_each_record_once(create):
    ring = create(mode="lossless")
    members = [Process(ring, {"group": "work", "start": "oldest"}, max_records=3) for _ in range(2)]
    num = 3_000 if ring.engine == "numba" else 300
    for member in members:
        member.go()
    Process(ring, producer=1, num=num).go().result()
    (cursor,) = ring.statistics().subscriptions
    assert cursor.num_members == 2
    ring.close()  # the creator's: members take what is left, then end
    assert sum(member.result()["seen"] for member in members) == num


def test_a_late_joiner_in_another_process_gets_the_history(create, records):
    ring = create(capacity=16)
    ring.push_many(records(0, 40))
    ring.close()
    with pytest.raises(MailboxClosed):
        ring.push(records(0, 1))
    with pytest.raises(MailboxClosed):
        SharedPeripheral.attach(ring.name, clock=RealClock()).subscribe()


def test_a_killed_reader_blocks_no_writer(create, records):
    ring = create(mode="lossless", capacity=8)
    reader = Process(ring, {}).ready()
    assert ring.push_many(records(0, 9)) == 8
    reader.kill()
    assert ring.push(records(8, 1), timeout_secs=30.0)
    assert ring.statistics().subscriptions == ()


def test_a_stopped_reader_is_not_robbed(create, records):
    ring = create(mode="lossless", capacity=8)
    reader = Process(ring, {}, num=9).ready()
    reader.signal(signal.SIGSTOP)
    os.waitid(os.P_PID, reader.pid, os.WSTOPPED | os.WNOWAIT)
    assert ring.push_many(records(0, 9, producer=0)) == 8
    assert not ring.push(records(8, 1), timeout_secs=0.05)
    assert ring.reap() == 0
    reader.signal(signal.SIGCONT)
    reader.go()
    assert ring.push(records(8, 1), timeout_secs=30.0)
    assert reader.result()["seen"] == 9


def test_a_killed_writers_lane_goes_to_the_next(create):
    ring = create(mode="lossless", capacity=16)
    reader, lanes = ring.subscribe(), set()
    for number in range(3):
        writer = Process(ring, producer=number, num=20_000).go()
        for _ in range(30):
            batch = reader.pop_many(7, timeout_secs=30.0)
            assert len(batch)
            assert batch.lost == 0
        lanes |= set(ring._membership._participants.identities())
        writer.kill()
        assert ring.reap() == 1
        while len(batch := reader.try_pop_many(7)):
            assert batch.lost == 0
    assert lanes == {0, 1}


def test_a_pid_used_again_is_not_its_predecessor(create):
    ring = create()
    other = SharedPeripheral.attach(ring.name, clock=RealClock())
    at = TABLE_OFFSET // 8 + 1
    ring._segment.words[at] += 1 << 22  # the same pid, started a tick later
    assert ring.reap() == 1
    assert ring._segment.words[at] == 0
    other._membership._index = -1


def test_an_unrelated_exit_leaves_the_ring_alone(create, records):
    ring = create()
    assert Process(ring, is_apart=True, producer=1, num=3).go().result() == {"pushed": 3}
    late = SharedPeripheral.attach(ring.name, clock=RealClock())
    assert len(late.subscribe(start="oldest").pop_many(9)) == 3
    late.close()


def test_a_blocked_reader_sleeps_and_wakes(create, records):
    ring = create()
    reader = ring.subscribe()
    started = time.thread_time()
    assert len(reader.pop_many(1, timeout_secs=1.0)) == 0
    assert time.thread_time() - started < 0.1
    threading.Timer(0.05, lambda: ring.push(records(0, 1))).start()
    assert len(reader.pop_many(1, timeout_secs=30.0)) == 1


def test_a_spinning_reader_returns_new_records(create, records):
    ring = create()
    reader = ring.subscribe()
    assert len(reader.pop_many(1, timeout_secs=0.02, spin_secs=1.0)) == 0
    threading.Timer(0.05, lambda: ring.push(records(0, 1))).start()
    assert len(reader.pop_many(1, timeout_secs=30.0, spin_secs=30.0)) == 1


def test_other_threads_run_during_a_wait_and_a_busy_one_blocks_no_delivery(create, records):
    ring = create(mode="lossless", capacity=8)
    stop, laps = threading.Event(), itertools.count()

    def hog():
        while not stop.is_set():
            next(laps)

    thread = threading.Thread(target=hog)
    reader = ring.subscribe()
    thread.start()
    writer = Process(ring, producer=1, num=100).go()
    seen = 0
    while seen < 100:
        seen += len(reader.pop_many(64, timeout_secs=30.0))
    stop.set()
    thread.join()
    assert writer.result()["pushed"] == 100
    assert next(laps) > 0


def test_an_event_loop_is_notified(create, records):
    ring = create()
    reader = ring.subscribe()

    async def collect():
        loop, seen, done = asyncio.get_running_loop(), [], asyncio.Event()

        def take():
            seen.extend(reader.try_pop_many(64).records["sequence"].tolist())
            if len(seen) >= 40:
                done.set()

        loop.add_reader(reader.fileno(), take)
        writer = Process(ring, producer=1, num=40).go()
        await asyncio.wait_for(done.wait(), 30.0)
        loop.remove_reader(reader.fileno())
        writer.result()
        return seen

    assert asyncio.run(collect()) == list(range(40))
    reader.close()


def test_ctrl_c_ends_a_wait(create):
    ring = create(mode="lossless", capacity=1)
    code = f"""
import sys, structlog
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
from sage.mailbox import RealClock
from sage.mailbox.shared import SharedPeripheral
reader = SharedPeripheral.attach({ring.name!r}, clock=RealClock()).subscribe()
try:
    print("ready", flush=True)
    reader.pop_many(1, timeout_secs=60.0)
except KeyboardInterrupt:
    sys.exit(7)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd="/")
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=60)
    assert child.returncode == 7


def test_a_forked_child_joins_as_a_participant_of_its_own(create, records):
    ring = create()
    reader = ring.subscribe()
    ring.push(records(0, 1))

    def work():
        with pytest.raises(MailboxError, match="before the fork"):
            reader.pop_many(1)
        reader.close()
        assert ring.push(records(1, 1))
        with ring.subscribe(start="oldest") as mine:
            assert len(mine.pop_many(9)) == 2
        assert len(ring._membership._participants.identities()) == 2
        ring.close()

    assert in_fork(work) == 0
    assert len(ring._membership._participants.identities()) == 1
    assert list(reader.pop_many(9).records["sequence"]) == [0, 1]
    assert ring.push(records(2, 1))
    assert list(reader.pop_many(9).records["sequence"]) == [2]


def test_a_close_in_an_unused_child_changes_nothing_in_the_parent(create, records):
    ring = create(mode="lossless", capacity=2)
    reader = ring.subscribe()
    assert in_fork(ring.close) == 0
    assert ring.push_many(records(0, 3)) == 2
    assert len(reader.pop_many(9)) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_is_refused(create):
    ring = create()

    def work():
        os.setuid(65534)
        with pytest.raises(MailboxError, match="another user"):
            SharedPeripheral.attach(ring.name, clock=RealClock())

    assert in_fork(work) == 0


def test_detaching_leaves_the_others_and_what_is_left_can_be_read(create, records):
    ring = create(mode="lossless", capacity=4)
    other = SharedPeripheral.attach(ring.name, clock=RealClock())
    reader = other.subscribe()
    assert ring.push_many(records(0, 3)) == 3
    other.close()
    assert ring.push_many(records(3, 3)) == 3  # a closed end holds up nobody
    assert list(reader.pop_many(1).records["sequence"]) == [2]
    with pytest.raises(MailboxClosed):
        reader.pop_many(1)
    reader.close()
    assert len(ring._membership._participants.identities()) == 1


def test_equals_open_one_ring(create, records):
    ring = create()
    options = {"clock": RealClock(), "capacity": 64, "engine": ring.engine}
    second = SharedPeripheral.open(ring.name, **options)
    second.push(records(0, 1))
    second.close()
    assert ring.statistics().pushed == 1
    with pytest.raises(MailboxError, match="exists with capacity 64, requested 32"):
        SharedPeripheral.open(ring.name, **{**options, "capacity": 32})
    first = SharedPeripheral.open(f"{ring.name}.equals", **options)
    second = SharedPeripheral.open(f"{ring.name}.equals", **options)
    first.close()
    assert second.push(records(0, 1))  # whoever made it, it goes on
    second.unlink()
    second.close()


def test_the_counts_of_another_process_are_readable_by_name(create):
    ring = create(mode="lossless")
    reader = Process(ring, {}, num=20).go()
    Process(ring, producer=1, num=20).go().result()
    assert reader.result()["seen"] == 20
    found = peek_statistics(ring.name)
    assert (found.pushed, found.popped, found.lost, found.depth) == (20, 20, 0, 0)
    assert found.push_to_pop.count > 0
    np.testing.assert_equal(found.push_to_pop, ring.statistics().push_to_pop)
