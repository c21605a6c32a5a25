"""Choosing a device, and what may not be sent to it."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from sage.mailbox import FocusMailbox, ManualClock, PeripheralMailbox, record_dtype
from sage.mailbox.cuda import CudaBackend, CudaError, FakeDriver, why_no_cuda
from sage.mailbox.cuda.views import DeviceBuffer, DeviceMemory, TypedBuffer, accept_on
from sage.mailbox.tensor_spec import TensorSpec


def test_importing_it_loads_no_gpu_library():
    code = (
        "import sys, sage.mailbox.cuda; sys.exit(bool({'torch', 'cupy', 'numba', 'triton'} &"
        " set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd="/").returncode == 0


@pytest.mark.skipif(why_no_cuda() is None, reason="this machine has a GPU")
def test_without_a_gpu_the_reason_is_one_line_and_opening_raises_it():
    reason = why_no_cuda()
    assert reason
    assert "\n" not in reason
    with pytest.raises(CudaError, match="driver"):
        CudaBackend()


def test_invalid_pool_options_raise_at_construction():
    with pytest.raises(ValueError, match="device, mapped, pinned, auto"):
        CudaBackend(placement="unified", driver=FakeDriver())
    with pytest.raises(ValueError, match="driver given is of device 1"):
        CudaBackend(0, driver=FakeDriver(device=1))


def test_peers_that_are_not_connected_are_refused_with_a_way_out():
    first, second = (
        CudaBackend(0, driver=FakeDriver(num_devices=2)),
        CudaBackend(1, driver=FakeDriver(device=1, num_devices=2)),
    )
    with pytest.raises(CudaError, match=r"cuda:1 cannot read cuda:0 directly.*mapped"):
        first.read_by(second)
    first.read_by(first)
    first.read_by(CudaBackend(1, driver=FakeDriver(device=1, has_peers=True)))


def test_records_are_in_pinned_memory_that_kernels_see():
    driver = FakeDriver()
    ring = PeripheralMailbox("ring", clock=ManualClock(), capacity=8, backend=CudaBackend(driver=driver))
    reader = ring.subscribe(start="oldest")
    records = np.zeros(3, dtype=record_dtype())
    records["sequence"] = (1, 2, 3)
    assert ring.push_many(records) == 3
    assert list(reader.pop_many(8).records["sequence"]) == [1, 2, 3]
    assert driver.counts.copies == 0


def test_a_pinned_slot_waits_for_the_copies_its_reader_queued():
    driver = FakeDriver()
    backend = CudaBackend(driver=driver, placement="pinned")
    box = FocusMailbox("frames", clock=ManualClock(), slots=1, slot_bytes=16, backend=backend)
    box.send(np.zeros(4, np.float32), stamp_ns=0, sequence=0)
    lease = box.try_receive()
    driver.hold(0)
    driver.copy(driver.allocate(16).address, lease.array.ctypes.data, 16, 0)
    lease.release()
    assert box.try_loan((4,)) is None
    driver.resume(0)
    assert box.try_loan((4,)) is not None


def test_a_pinned_slot_is_free_at_once_where_nothing_was_queued():
    driver = FakeDriver()
    box = FocusMailbox(
        "frames",
        clock=ManualClock(),
        slots=1,
        slot_bytes=16,
        backend=CudaBackend(driver=driver, placement="pinned"),
    )
    for number in range(3):
        assert box.send(np.zeros(4, np.float32), stamp_ns=number, sequence=number)
        box.try_receive().release()
    assert (box.statistics().free, driver.counts.records) == (1, 0)


def test_a_tensor_of_another_device_or_dtype_is_named():
    with pytest.raises(ValueError, match="on meta, this mailbox on cuda:0"):
        accept_on(torch.zeros(2, device="meta"), 0)
    with pytest.raises(ValueError, match="complex64"):
        accept_on(np.zeros(2, np.complex64), 0)
    array, dtype = accept_on(torch.zeros(2, dtype=torch.bfloat16), 0)
    assert (array.dtype, dtype) == (np.uint16, "bfloat16")


@pytest.mark.parametrize(
    ("dtype", "typestr"), [("float32", "<f4"), ("bool", "|b1"), ("int64", "<i8"), ("float16", "<f2")]
)
def test_a_view_has_its_shape_and_type_and_keeps_the_buffer(dtype, typestr):
    driver = FakeDriver()
    memory = DeviceMemory(driver, driver.allocate(256), 0)
    buffer = memory.buffer(memory.address + 128, 128)
    typed = TypedBuffer(buffer, TensorSpec(shape=(2, 3), dtype=dtype))
    found = typed.__cuda_array_interface__
    assert (found["shape"], found["typestr"], found["data"]) == (
        (2, 3),
        typestr,
        (memory.address + 128, False),
    )
    assert "stream" not in found
    assert typed.owner is buffer
    assert isinstance(buffer, DeviceBuffer)
