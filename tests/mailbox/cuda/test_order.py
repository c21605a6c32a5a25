"""Held streams stand for slow kernels: no work overtakes them, and the host does not wait for them."""

import ctypes

import numpy as np
import pytest

from sage.mailbox import MailboxFull
from sage.mailbox.cuda import CudaError


def _floats(address):
    """What a kernel has: an address, and nothing that keeps a view alive."""
    return np.ctypeslib.as_array((ctypes.c_float * 4).from_address(address))


def _write(driver, loan, stream, value):
    """A kernel that writes `value`, queued on `stream`."""
    with driver.on(stream):
        address = loan.array.ctypes.data
    driver.launch(stream, lambda: _floats(address).fill(value))


def _read(driver, lease, stream, into):
    with driver.on(stream):
        address = lease.array.ctypes.data
    driver.launch(stream, lambda: into.append(float(_floats(address)[0])))


def _publish(driver, box, stream, value):
    loan = box.try_loan((4,))
    _write(driver, loan, stream, value)
    with driver.on(stream):
        loan.publish(stamp_ns=value, sequence=value)


def test_a_slow_producer_is_not_overtaken_on_another_stream(driver, make_box):
    box, writer, reader, seen = make_box(), driver.create_stream(), driver.create_stream(), []
    driver.hold(writer)
    _publish(driver, box, writer, 7)
    lease = box.try_receive()
    _read(driver, lease, reader, seen)
    assert seen == []
    driver.resume(writer)
    assert seen == [7.0]


def test_push_and_pop_neither_copy_nor_wait_nor_allocate(driver, make_box):
    box, writer, reader = make_box(slots=2), driver.create_stream(), driver.create_stream()
    allocations = driver.counts.allocations
    for value in range(50):
        _publish(driver, box, writer, value)
        lease = box.try_receive()
        _read(driver, lease, reader, [])
        with driver.on(reader):
            lease.release()
    assert (driver.counts.copies, driver.counts.synchronizations) == (0, 0)
    assert driver.counts.allocations == allocations
    assert box.statistics().bytes_copied == 0


def test_events_are_made_beforehand_and_used_again(driver, make_box):
    box, writer, reader = make_box(slots=2), driver.create_stream(), driver.create_stream()
    order = box._allocator.pool.order
    made = order.num_events
    for value in range(50):
        _publish(driver, box, writer, value)
        with driver.on(reader), box.try_receive() as lease:
            _read(driver, lease, reader, [])
    assert order.num_events == made


def test_a_slot_is_not_reused_while_its_readers_stream_still_reads(driver, make_box):
    box, writer, reader, seen = make_box(), driver.create_stream(), driver.create_stream(), []
    _publish(driver, box, writer, 1)
    driver.hold(reader)
    lease = box.try_receive()
    _read(driver, lease, reader, seen)
    with driver.on(reader):
        lease.release()
    assert box.try_loan((4,)) is None  # a poisoned slot would show in `seen`
    driver.resume(reader)
    _publish(driver, box, writer, 99)
    assert seen == [1.0]


def test_work_queued_after_the_release_is_ordered_while_a_view_exists(driver, make_box):
    box, reader, seen = make_box(), driver.create_stream(), []
    _publish(driver, box, 0, 1)
    with driver.on(reader), box.try_receive() as lease:
        array = lease.array
    driver.hold(reader)
    address = array.ctypes.data
    driver.launch(reader, lambda: seen.append(float(_floats(address)[0])))
    assert box.try_loan((4,)) is None
    del array
    assert box.try_loan((4,)) is None, "the view has gone, and the stream has not come to its work"
    driver.resume(reader)
    assert box.try_loan((4,)) is not None
    assert seen == [1.0]


def test_the_writer_after_a_dropped_message_comes_after_its_kernel(driver, make_box):
    box, slow, fast, seen = make_box(), driver.create_stream(), driver.create_stream(), []
    driver.hold(slow)
    _publish(driver, box, slow, 1)  # nobody will read this; its kernel has not run yet
    _publish(driver, box, fast, 2)
    lease = box.try_receive()
    _read(driver, lease, fast, seen)
    assert seen == []
    driver.resume(slow)
    assert seen == [2.0]


def test_the_writer_after_a_discarded_loan_comes_after_its_kernel(driver, make_box):
    box, slow, fast, seen = make_box(), driver.create_stream(), driver.create_stream(), []
    driver.hold(slow)
    loan = box.try_loan((4,))
    _write(driver, loan, slow, 1)
    loan.discard()
    driver.step(slow)  # the kernel runs, its event does not: views are gone, the order is still open
    _publish(driver, box, fast, 2)
    _read(driver, box.try_receive(), fast, seen)
    assert seen == []
    driver.resume(slow)
    assert seen == [2.0]


def test_the_next_writer_waits_for_the_writer_of_an_unread_message(driver, make_box):
    box, slow, fast, seen = make_box(), driver.create_stream(), driver.create_stream(), []
    driver.hold(slow)
    _publish(driver, box, slow, 1)
    box.try_receive().release()  # its meta was enough
    driver.step(slow)
    loan = box.try_loan((4,))
    _write(driver, loan, fast, 2)
    with driver.on(fast):
        loan.publish(stamp_ns=2, sequence=2)
    _read(driver, box.try_receive(), fast, seen)
    assert seen == []
    driver.resume(slow)
    assert seen == [2.0]


def test_one_stream_waits_for_nothing_of_its_own(driver, make_box):
    box, stream = make_box(stream=0, slots=2), 0
    for value in range(5):
        _publish(driver, box, stream, value)
        box.try_receive().release()
    assert driver.counts.waits == 0


def test_two_readers_streams_both_hold_the_slot(driver, make_box):
    box, left, right = make_box(), driver.create_stream(), driver.create_stream()
    _publish(driver, box, 0, 1)
    lease, seen = box.try_receive(), []
    for stream in (left, right):
        driver.hold(stream)
        _read(driver, lease, stream, seen)
    lease.release()
    driver.resume(left)
    assert box.try_loan((4,)) is None
    driver.resume(right)
    assert seen == [1.0, 1.0]
    assert box.try_loan((4,)) is not None


def test_a_blocked_loan_names_the_slot_that_a_stream_holds(driver, make_box):
    box, reader = make_box(policy="block"), driver.create_stream()
    _publish(driver, box, 0, 1)
    driver.hold(reader)
    lease = box.try_receive()
    with driver.on(reader):
        _ = lease.array
        lease.release()
    with pytest.raises(MailboxFull, match="slot 0 releasing"):
        box.loan((4,), timeout_secs=0.01)


def test_a_mailbox_called_inside_a_capture_is_refused(driver, make_box):
    box, stream = make_box(), driver.create_stream()
    loan = box.try_loan((4,))
    with driver.on(stream), driver.capture(stream), pytest.raises(CudaError, match="SlotGraphs"):
        _ = loan.array


def test_a_sent_host_array_is_one_queued_copy_taken_at_once(driver, make_box):
    box, stream = make_box(), driver.create_stream()
    source = np.full(4, 5.0, np.float32)
    driver.hold(stream)
    with driver.on(stream):
        assert box.send(source, stamp_ns=0, sequence=0)
    source.fill(-1.0)
    driver.resume(stream)
    with box.try_receive() as lease:
        assert (lease.array == 5.0).all()
    assert (driver.counts.copies, driver.counts.synchronizations) == (1, 0)
    assert box.statistics().bytes_copied == 16


def test_a_mailbox_of_one_stream_queues_its_own_copies_there_too(driver, make_box):
    stream = driver.create_stream()
    box = make_box(stream=stream)
    driver.hold(stream)
    assert box.send(np.full(4, 5.0, np.float32), stamp_ns=0, sequence=0)  # another stream is current
    with box.try_receive() as lease:
        address = lease.array.ctypes.data
        assert not _floats(address).any()
        driver.resume(stream)
        assert (_floats(address) == 5.0).all()


def test_a_host_reader_of_mapped_memory_waits_for_the_kernel_that_writes(driver, make_box):
    box, writer = make_box(placement="mapped"), driver.create_stream()
    loan = box.try_loan((4,))
    with driver.on(writer):
        tensor = loan.tensor
        driver.hold(writer)
        driver.launch(writer, lambda: tensor.fill_(3.0))
        loan.publish(stamp_ns=0, sequence=0)
    lease = box.try_receive()
    with pytest.raises(CudaError, match="a real host would hang"):
        _ = lease.array
    driver.resume(writer)
    assert (lease.array == 3.0).all()


def test_a_dlpack_taker_comes_after_the_writer_on_the_stream_it_names(driver, make_box):
    box, writer, taker, seen = make_box(), driver.create_stream(), driver.create_stream(), []
    driver.hold(writer)
    _publish(driver, box, writer, 6)
    lease = box.try_receive()
    address = lease.array.ctypes.data
    capsule = lease.__dlpack__(stream=taker, max_version=(1, 0))
    driver.launch(taker, lambda: seen.append(float(_floats(address)[0])))
    assert seen == []
    driver.resume(writer)
    assert seen == [6.0]
    lease.release()
    assert box.try_loan((4,)) is None, "the capsule is a view like any other"
    del capsule
    assert box.try_loan((4,)) is not None


def test_a_lease_is_a_dlpack_source_for_numpy(make_box):
    box = make_box()
    box.send(np.arange(4.0, dtype=np.float32), stamp_ns=0, sequence=0)
    with box.try_receive() as lease:
        assert list(np.from_dlpack(lease)) == [0.0, 1.0, 2.0, 3.0]
