"""Pools in memory that processes and their GPUs share: each fake driver is one process's view of a GPU."""

import ctypes
import itertools
import os
import signal

import numpy as np
import pytest

from sage.mailbox import FocusMailbox, ManualClock, RealClock
from sage.mailbox.cuda import CudaBackend, CudaError, FakeDriver, UnifiedBackend
from sage.mailbox.cuda.unified_probe import answer, probe
from sage.mailbox.errors import MailboxError
from sage.mailbox.shared import SharedFocus
from sage.mailbox.shared.focus import events

_numbers = itertools.count()


@pytest.fixture
def pair():
    """pair(**options): (box, driver) of the creator and of another process."""
    boxes = []

    def make(**options):
        name = f"test.{os.getpid()}.u{next(_numbers)}"
        drivers = [FakeDriver(is_integrated=True) for _ in range(2)]
        wanted = {"clock": RealClock(), "slots": 1, "slot_bytes": 64, "policy": "drop_newest", **options}
        backends = [UnifiedBackend(driver=driver) for driver in drivers]
        boxes.append(SharedFocus.create(name, engine="plain", backend=backends[0], **wanted))
        boxes.append(SharedFocus.attach(name, clock=RealClock(), engine="plain", backend=backends[1]))
        return tuple(zip(boxes[-2:], drivers, backends))

    yield make
    for box in boxes:
        box.close()
        box.unlink()


def _write_slowly(box, driver, value):
    """Publish a tensor that a kernel still writes; returns the stream to resume."""
    stream = driver.create_stream()
    driver.hold(stream)
    with driver.on(stream), box.loan((4,)) as loan:
        driver.launch(stream, _fill(loan.tensor.data_ptr(), value))
        assert loan.publish(stamp_ns=value, sequence=value)
    return stream


def _fill(address, value):
    """A kernel that writes 4 float32; it keeps no view."""
    content = np.full(4, value, np.float32)
    return lambda: ctypes.memmove(address, content.ctypes.data, content.nbytes)


def test_a_reader_in_another_process_is_ordered_after_the_writers_kernel_without_a_wait(pair):
    (box, driver, _), (reader, others, backend) = pair()
    stream = _write_slowly(box, driver, 7)
    seen = []
    with reader.receive(timeout_secs=1.0) as lease:
        tensor = lease.tensor
        others.launch(0, lambda: seen.append(float(tensor[0])))
        others.run()
        assert (seen, backend.watchdog.poll()) == ([], 1)
        driver.resume(stream)
        assert backend.watchdog.poll() == 0
        others.run()
    assert (seen, backend.num_orphans) == ([7.0], 0)
    assert (driver.counts.copies, others.counts.copies, box.statistics().bytes_copied) == (0, 0, 0)
    assert others.counts.synchronizations == 0


def test_a_slot_is_reused_only_after_the_work_that_its_reader_queued(pair):
    (box, _, _), (reader, others, _) = pair()
    with box.loan((4,)) as loan:
        loan.array[:] = 3
        loan.publish(stamp_ns=1, sequence=1)
    others.hold(0)
    lease = reader.receive(timeout_secs=1.0)
    others.launch(0, lambda: None)
    assert float(lease.tensor[0]) == 3.0
    lease.release()
    with pytest.raises(MailboxError, match="released"):
        lease.release()
    assert box.try_loan((4,)) is None
    others.resume(0)
    assert reader.try_receive() is None  # each call returns what is complete
    assert box.try_loan((4,)) is not None
    assert box.statistics().leaks_total == 0


def test_the_next_writer_waits_for_the_kernel_of_a_dropped_message(pair, monkeypatch):
    (box, driver, _), (other, others, backend) = pair(policy="drop_oldest")
    stream = _write_slowly(box, driver, 7)
    with other.loan((4,)) as loan:  # the message was dropped unread
        others.launch(0, _fill(loan.tensor.data_ptr(), 9))
        others.run()
        assert loan.publish(stamp_ns=2, sequence=2)
    waits = []

    def let_go(secs):
        waits.append(secs)
        driver.resume(stream)
        backend.watchdog.poll()
        others.run()

    monkeypatch.setattr(events.time, "sleep", let_go)
    with box.receive(timeout_secs=1.0) as lease:
        assert list(lease.array) == [9.0] * 4  # the host waits for both
    assert waits


def test_a_process_without_the_device_reads_and_writes_the_same_pool(pair, monkeypatch):
    (box, driver, _), _ = pair()
    plain = SharedFocus.attach(box.name, clock=RealClock(), engine="plain")
    stream = _write_slowly(box, driver, 5)

    def let_go(secs):
        driver.resume(stream)
        box.statistics()
        box.try_loan((4,))

    monkeypatch.setattr(events.time, "sleep", let_go)
    with plain.receive(timeout_secs=1.0) as lease:
        assert list(lease.array) == [5.0] * 4
    assert plain.send(np.full(4, 6, np.float32), stamp_ns=2, sequence=2)
    with box.receive(timeout_secs=1.0) as lease:
        assert list(lease.tensor) == [6.0] * 4
    assert (plain.backend, box.backend) == ("host", "cuda:0 unified")
    plain.close()


@pytest.mark.torch
def test_a_dead_writer_blocks_no_stream_and_its_message_is_refused(pair):
    _, (reader, others, backend) = pair(slots=2)
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            driver = FakeDriver(is_integrated=True)
            own = SharedFocus.attach(
                reader.name, clock=RealClock(), engine="plain", backend=UnifiedBackend(driver=driver)
            )
            _write_slowly(own, driver, 1)
            _write_slowly(own, driver, 2)
            os.write(writable, b"1")
            signal.pause()
        finally:
            os._exit(1)
    assert os.read(readable, 1) == b"1"
    first, second = reader.receive(timeout_secs=1.0), reader.receive(timeout_secs=1.0)
    seen, _tensor = [], first.tensor
    others.launch(0, lambda: seen.append("went on"))
    assert (seen, backend.watchdog.poll()) == ([], 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    backend.watchdog.poll()
    others.run()
    assert (seen, backend.num_orphans) == (["went on"], 1)
    with pytest.raises(MailboxError, match="died before its device work"):
        _ = second.array
    first.release()
    second.release()
    del _tensor
    assert reader.reap() <= 1
    assert reader.send(np.ones(4, np.float32), stamp_ns=3, sequence=3)
    with reader.receive(timeout_secs=1.0) as lease:
        assert list(lease.array) == [1.0] * 4


def test_handles_dropped_without_an_end_keep_their_slot_until_their_work_is_done(pair):
    (box, driver, _), (reader, others, _) = pair(policy="block")
    driver.hold(0)
    assert box.loan((4,)).tensor.data_ptr()
    driver.launch(0, lambda: None)
    assert box.statistics().orphans == 1
    loan = reader.loan((4,), timeout_secs=1.0)
    loan.discard()
    driver.resume(0)
    box.send(np.zeros(4, np.float32), stamp_ns=1, sequence=1)
    others.hold(0)
    assert reader.receive(timeout_secs=1.0).tensor.data_ptr()
    others.launch(0, lambda: None)
    reader.statistics()
    assert box.try_loan((4,)) is None
    others.resume(0)
    reader.statistics()
    assert reader.try_receive() is None
    assert box.loan((4,), timeout_secs=1.0) is not None


def test_a_backend_needs_a_pool_that_was_created_with_one():
    name = f"test.{os.getpid()}.u{next(_numbers)}"
    with SharedFocus.create(name, clock=RealClock(), slot_bytes=64, engine="plain") as box:
        with pytest.raises(ValueError, match="created without a backend, given is cuda:0 unified"):
            SharedFocus.attach(
                name, clock=RealClock(), engine="plain", backend=UnifiedBackend(driver=FakeDriver())
            )
        box.unlink()


def test_the_probe_writes_and_reads_on_both_sides(tmp_path):
    driver, other = FakeDriver(is_integrated=True), FakeDriver(is_integrated=True)

    def ask(path, handle):
        answer(other, path, handle)
        return ""

    assert probe(driver, ask, folder=tmp_path) == (None, None, None)
    assert other.counts.copies == 2
    assert list(tmp_path.iterdir()) == []
    found = probe(driver, lambda path, handle: "", folder=tmp_path)
    assert found.shared == "the other process's device wrote a wrong number"
    assert probe(driver, lambda path, handle: "no device", folder=tmp_path).events == "no device"


def test_each_failing_call_is_a_reason_and_events_may_be_absent(tmp_path, monkeypatch):
    driver, other = FakeDriver(is_integrated=True), FakeDriver(is_integrated=True)

    def fail(*arguments, **options):
        raise CudaError("cuCall failed with 801: operation not supported")

    def ask(path, handle):
        answer(other, path, handle)
        return ""

    monkeypatch.setattr(driver, "export_event", fail)
    found = probe(driver, ask, folder=tmp_path)
    assert (found.shared, "801" in found.events) == (None, True)
    monkeypatch.setattr(driver, "register", fail)
    assert "801" in probe(driver, ask, folder=tmp_path).shared
    monkeypatch.setattr(driver, "allocate_mapped", fail)
    assert "801" in probe(driver, ask, folder=tmp_path).mapped
    assert list(tmp_path.iterdir()) == []


def test_events_that_cannot_be_shared_are_replaced_by_rows(pair, monkeypatch):
    (box, driver, _), (reader, others, backend) = pair()

    def fail(*arguments):
        raise CudaError("cuIpcGetEventHandle failed with 801: operation not supported")

    monkeypatch.setattr(driver, "export_event", fail)
    stream = _write_slowly(box, driver, 7)
    seen = []
    with reader.receive(timeout_secs=1.0) as lease:
        tensor = lease.tensor
        others.launch(0, lambda: seen.append(float(tensor[0])))
        assert (seen, backend.watchdog.poll()) == ([], 1)
        driver.resume(stream)
        box.try_loan((4,))  # the writer notes what is complete at each call, and in a thread
        assert backend.watchdog.poll() == 0
        others.run()
    assert seen == [7.0]


@pytest.mark.parametrize(("is_integrated", "expected"), [(True, "mapped"), (False, "device")])
def test_the_placement_follows_the_device_and_the_probe(is_integrated, expected, monkeypatch):
    driver = FakeDriver(is_integrated=is_integrated)
    backend = CudaBackend(placement="auto", driver=driver)
    assert backend.placement == expected
    box = FocusMailbox("frames", clock=ManualClock(), slots=1, slot_bytes=16, backend=backend)
    assert box.send(np.zeros(4, np.float32), stamp_ns=0, sequence=0)
    monkeypatch.setattr(driver, "copy", lambda *arguments: None)  # a copy that does nothing
    assert CudaBackend(placement="auto", driver=driver).placement == "device"
